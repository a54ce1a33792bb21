from concurrent.futures import ThreadPoolExecutor

from llama_index_ko_rerank.text.kiwi import get_kiwi


def test_every_caller_gets_the_one_analyser():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: get_kiwi(()), range(8)))
    assert {id(kiwi) for kiwi in found} == {id(get_kiwi())}
