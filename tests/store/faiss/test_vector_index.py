import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import DamagedIndex, InvalidSetting
from llama_index_ko_rerank.store import settings as index_settings
from llama_index_ko_rerank.store.faiss.index import VectorIndex
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.store.faiss.snapshots import from_bytes, to_bytes
from llama_index_ko_rerank.store.settings import IndexSettings

KINDS = ["flat", "ivf"]


class Searched:
    """An index, and the exact vectors that it asks for."""

    def __init__(self, vectors, *, kind="flat", first_id=1, **options):
        self.vectors = {}
        requested = IndexSettings(kind=kind, **options)
        self.index = VectorIndex(requested, len(vectors[0]), count=len(vectors), generation=7)
        unit = normalize_embeddings(vectors, [""] * len(vectors))
        self.index.train(unit[: self.index.training_size])
        self.add(np.arange(first_id, first_id + len(vectors)), unit)

    def add(self, row_ids, unit):
        self.vectors |= dict(zip(row_ids.tolist(), unit, strict=True))
        self.index.add(row_ids, unit)

    def search(self, query, top_k, allowed=None, index=None):
        fetch_vectors = lambda row_ids: np.stack([self.vectors[one] for one in row_ids.tolist()])  # noqa: E731
        row_ids, cosines = (index or self.index).search(
            query, top_k=top_k, fetch_vectors=fetch_vectors, allowed=allowed
        )
        return row_ids.tolist(), cosines


def by_hand(vectors, query, top_k, first_id=1):
    unit = normalize_embeddings([*vectors, query], [""] * (len(vectors) + 1)).astype(np.float64)
    cosines = (unit[:-1] * unit[-1]).sum(axis=1)
    order = np.lexsort((np.arange(len(vectors)), -cosines))[:top_k]
    return [int(first_id + position) for position in order], np.clip(cosines[order], -1.0, 1.0)


def unit(vector):
    return normalize_embeddings([vector], [""])[0]


def clustered(seed, count, dimension=24):
    """Vectors round some centres, as embeddings lie, so that approximate indexes have something to go by."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dimension))
    return (centres[random.integers(0, 20, count)] + 0.4 * random.normal(size=(count, dimension))).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_similarities_are_cosines_and_larger_is_better(kind):
    row_ids, cosines = Searched([[1.0, 0.0], [3.0, 4.0], [-2.0, 0.0]], kind=kind).search(unit([1.0, 0.0]), 3)
    assert row_ids == [1, 2, 3]
    assert cosines == pytest.approx([1.0, 0.6, -1.0], abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300), top_k=st.integers(1, 320), levels=st.integers(2, 50))
def test_a_flat_search_is_brute_force_with_ties_in_the_order_of_addition(seed, count, top_k, levels):
    random = np.random.default_rng(seed)
    vectors = random.integers(1, levels, size=(count, 5)).astype(float).tolist()
    query = random.integers(1, levels, size=5).astype(float).tolist()
    row_ids, cosines = Searched(vectors).search(unit(query), top_k)
    expected_ids, expected_cosines = by_hand(vectors, query, top_k)
    assert row_ids == expected_ids
    assert cosines == pytest.approx(expected_cosines, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([1e-6, 1e-4, 1e-3, 1e-2]))
def test_a_flat_search_is_exact_where_sixteen_bits_cannot_tell_vectors_apart(seed, spread):
    random = np.random.default_rng(seed)
    vectors = (random.normal(size=48) + spread * random.normal(size=(400, 48))).tolist()
    row_ids, _ = Searched(vectors).search(unit(vectors[3]), 10)
    assert row_ids == by_hand(vectors, vectors[3], 10)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_equal_vectors_keep_the_order_of_addition(kind):
    searched = Searched([[0.3, 0.1, 0.7]] * 1000 + [[0.3, 0.1, 0.70001]], kind=kind)
    row_ids, _ = searched.search(unit([0.5, 0.2, 0.1]), 600)
    assert row_ids == list(range(1, 601))


def test_an_approximate_index_finds_nearly_all_and_gives_exact_cosines():
    vectors = clustered(5, 4000)
    searched = Searched(vectors, kind="ivf")
    hits = 0
    for query in clustered(6, 40):
        row_ids, cosines = searched.search(unit(query), 10)
        hits += len(set(row_ids) & set(by_hand(vectors, query, 10)[0]))
        exact = normalize_embeddings([vectors[one - 1] for one in row_ids], row_ids) @ unit(query)
        assert cosines == pytest.approx(exact, abs=1e-6)
        assert list(cosines) == sorted(cosines, reverse=True)
    assert hits >= 0.98 * 400


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [2, 7, 300])
def test_a_restricted_search_still_returns_top_k_of_the_allowed(kind, step):
    vectors = clustered(1, 3000)
    allowed = np.zeros(3001, np.bool_)
    allowed[3::step] = True
    row_ids, _ = Searched(vectors, kind=kind).search(unit(vectors[0]), 8, allowed)
    best = [one for one in by_hand(vectors, vectors[0], 3000)[0] if allowed[one]][:8]
    assert len(row_ids) == 8
    assert len(set(row_ids) & set(best)) >= (8 if kind == "flat" else 7)


@pytest.mark.parametrize("kind", KINDS)
def test_allowed_vectors_that_lie_far_from_the_query_are_found_too(kind):
    vectors = [[1.0, 0.001 * number, 0.0] for number in range(2000)] + [[-1.0, 0.0, 0.1], [-1.0, 0.0, 0.2]]
    allowed = np.zeros(2003, np.bool_)
    allowed[[2001, 2002]] = True
    assert Searched(vectors, kind=kind).search(unit([1.0, 0.0, 0.0]), 5, allowed)[0] == [2002, 2001]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_allowed_finds_nothing(kind):
    searched = Searched([[1.0, 0.0]], kind=kind)
    for allowed in (np.empty(0, np.bool_), np.zeros(9, np.bool_), np.array([True])):
        row_ids, cosines = searched.search(unit([1.0, 0.0]), 5, allowed)
        assert len(row_ids) == len(cosines) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_removed_vectors_are_gone_and_their_ids_are_not_mixed_up(kind):
    searched = Searched([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], kind=kind)
    searched.index.remove(np.array([1, 99]))
    searched.add(np.array([4]), normalize_embeddings([[1.0, 0.1]], ["d"]))
    assert searched.search(unit([1.0, 0.0]), 9)[0] == [4, 3, 2]
    assert (searched.index.last_row_id, searched.index.count) == (4, 3)
    searched.index.remove(np.array([1, 2, 3, 4]))
    assert searched.search(unit([1.0, 0.0]), 9)[0] == []


@pytest.mark.parametrize("kind", KINDS)
def test_save_then_load_is_identity(kind):
    vectors = clustered(2, 1500)
    searched = Searched(vectors, kind=kind, first_id=5)
    searched.index.remove(np.arange(100, 130))
    payload = to_bytes(searched.index)
    loaded = from_bytes(payload, settings=IndexSettings(kind=kind), dimension=24, generation=7)
    assert (loaded.count, loaded.generation, loaded.last_row_id, loaded.kind) == (1470, 7, 1504, kind)
    for query in clustered(3, 10):
        assert searched.search(unit(query), 20)[0] == searched.search(unit(query), 20, index=loaded)[0]
    assert to_bytes(loaded) == payload


def test_lists_that_hold_more_than_twice_what_they_were_made_for_need_a_rebuild():
    searched = Searched(clustered(4, 50), kind="ivf")
    searched.add(np.arange(51, 101), normalize_embeddings(clustered(5, 50), [""] * 50))
    assert not searched.index.needs_rebuild()
    searched.add(np.array([101]), normalize_embeddings(clustered(6, 1), [""]))
    assert searched.index.needs_rebuild()


def test_the_automatic_kind_is_flat_up_to_a_number_of_numbers_and_lists_above():
    most = index_settings.FLAT_UP_TO_NUMBERS
    assert IndexSettings().kind_for(most // 512, 512) == "flat"
    assert IndexSettings().kind_for(most // 512 + 1, 512) == "ivf"
    assert [IndexSettings(kind="ivf").kind_for(count, 512) for count in (0, 1)] == ["flat", "ivf"]


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "flatt"},
        {"oversampling": 0},
        {"oversampling": 2.5},
        {"ivf_lists": 0},
        {"ivf_lists": True},
        {"ivf_probed_share": 0},
        {"ivf_probed_share": 1.01},
        {"ivf_probed_share": "0.5"},
    ],
)
def test_settings_out_of_range_are_refused_by_name(bad):
    with pytest.raises(InvalidSetting, match=next(iter(bad)).removeprefix("kind") or "did you mean 'flat'"):
        IndexSettings(**bad)


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(kind):
    with pytest.raises(InvalidSetting, match=f"no index kind '{kind}'; .*auto, flat, ivf"):
        IndexSettings(kind=kind)


def test_settings_come_back_from_their_dict():
    requested = IndexSettings(kind="ivf", ivf_lists=7)
    assert IndexSettings.of(requested.as_dict()) == requested
    assert IndexSettings.of(requested) is requested
    with pytest.raises(InvalidSetting, match="did you mean 'ivf_lists'"):
        IndexSettings.of({"ivf_list": 7})


@pytest.mark.parametrize("kind", KINDS)
def test_faiss_keeps_the_limits_that_the_program_has_set(kind):
    before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
    threads = faiss.omp_get_max_threads()
    searched = Searched(clustered(1, 1100), kind=kind)
    from_bytes(to_bytes(searched.index), settings=IndexSettings(kind=kind), dimension=24, generation=7)
    searched.search(unit(clustered(2, 1)[0]), 1)
    assert (faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()) == before
    assert faiss.omp_get_max_threads() == threads


def other_payloads():
    whole = to_bytes(Searched([[1.0, 0.0]] * 50, kind="ivf").index)
    head = whole[: whole.index(b"IwSq")]
    by_distance = faiss.IndexIDMap(faiss.IndexFlatL2(2))
    graph = faiss.IndexHNSWSQ(2, faiss.ScalarQuantizer.QT_8bit, 32, faiss.METRIC_INNER_PRODUCT)
    return {
        "nothing": b"",
        "something else": b"PK" + whole,
        "no header": whole[:28],
        "cut short": whole[:-40],
        "no index": head + b"IwSq and then nothing",
        "distances": head + faiss.serialize_index(by_distance).tobytes(),
        "another kind": head + faiss.serialize_index(graph).tobytes(),
        "other settings": to_bytes(Searched([[1.0, 0.0]] * 50, kind="ivf", ivf_lists=8).index),
        "another dimension": to_bytes(Searched([[1.0, 0.0, 0.0]] * 50, kind="ivf").index),
        "unknown settings": whole.replace(b'"oversampling"', b'"oversampelin"'),
        "other vectors": whole.replace(b'"count": 50', b'"count": 49'),
    }


@pytest.mark.parametrize("payload", other_payloads().values(), ids=other_payloads().keys())
def test_bytes_of_something_else_are_damage(payload):
    with pytest.raises(DamagedIndex):
        from_bytes(payload, settings=IndexSettings(kind="ivf"), dimension=2, generation=7)


def test_a_snapshot_of_another_generation_is_damage():
    with pytest.raises(DamagedIndex, match="another generation"):
        from_bytes(
            to_bytes(Searched([[1.0, 0.0]]).index), settings=IndexSettings(kind="flat"), dimension=2, generation=8
        )
