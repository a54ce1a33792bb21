from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.rerank.lru_cache import LRUCache, text_hash


def test_what_was_not_used_for_longest_makes_room():
    cache = LRUCache(3)
    for name in "abc":
        cache.put(name, name.upper())
    cache.get("a")
    cache.put("d", "D")
    assert cache.get_all("abcd") == {"a": "A", "c": "C", "d": "D"}


def test_a_value_takes_the_place_of_an_older_one_of_its_key():
    cache = LRUCache(4, weight=len)
    cache.put("a", "xxx")
    cache.put("a", "y")
    cache.put("b", "zzz")
    assert cache.get_all("ab") == {"a": "y", "b": "zzz"}


def test_what_outweighs_the_bound_is_not_kept_and_drives_nothing_out():
    cache = LRUCache(4, weight=len)
    cache.put("a", "xx")
    cache.put("b", "too long")
    assert cache.get_all("ab") == {"a": "xx"}


def test_nothing_is_left_after_clearing():
    cache = LRUCache(4, weight=len)
    cache.put("a", "xxxx")
    cache.clear()
    cache.put("b", "yyyy")
    assert (len(cache), cache.get("a"), cache.get("b")) == (1, None, "yyyy")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text("x", max_size=6))), st.integers(0, 12))
def test_it_is_a_mapping_that_keeps_the_newest_that_fit(puts, capacity):
    cache = LRUCache(capacity, weight=len)
    newest: dict[str, str] = {}
    for key, value in puts:
        cache.put(key, value)
        newest.pop(key, None)
        if len(value) <= capacity:
            newest[key] = value
        while sum(map(len, newest.values())) > capacity:
            newest.pop(next(iter(newest)))
    assert cache.get_all("abcdef") == newest


def test_threads_leave_it_within_its_bound():
    cache = LRUCache(50, weight=len)

    def fill(seed):
        for number in range(300):
            cache.put((seed * number) % 70, "x" * (number % 9))
            cache.get(number % 70)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, range(1, 9)))
    assert sum(len(value) for value in cache.get_all(range(70)).values()) <= 50


def test_a_hash_tells_texts_apart():
    assert text_hash("연차") == text_hash("연차")
    assert len({text_hash(text) for text in ("연차", "연차 ", "", " ", "년차")}) == 5
