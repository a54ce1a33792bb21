import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.unit_vectors import unit_vectors
from llama_index_ko_rerank.store.vector_index import VectorIndex


def index_of(vectors, first_id=1):
    index = VectorIndex(len(vectors[0]), generation=7)
    index.add(np.arange(first_id, first_id + len(vectors)), unit_vectors(vectors, [""] * len(vectors)))
    return index


def by_hand(vectors, query, top_k, first_id=1):
    unit = unit_vectors([*vectors, query], [""] * (len(vectors) + 1)).astype(np.float64)
    cosines = (unit[:-1] * unit[-1]).sum(axis=1)
    order = np.lexsort((np.arange(len(vectors)), -cosines))[:top_k]
    return [int(first_id + position) for position in order], np.clip(cosines[order], -1.0, 1.0)


def test_similarities_are_cosines_and_larger_is_better():
    index = index_of([[1.0, 0.0], [3.0, 4.0], [-2.0, 0.0]])
    row_ids, cosines = index.search(np.array([1.0, 0.0], np.float32), top_k=3)
    assert row_ids.tolist() == [1, 2, 3]
    assert cosines == pytest.approx([1.0, 0.6, -1.0], abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300), top_k=st.integers(1, 320), levels=st.integers(2, 50))
def test_search_is_brute_force_with_ties_in_the_order_of_addition(seed, count, top_k, levels):
    random = np.random.default_rng(seed)
    vectors = random.integers(1, levels, size=(count, 5)).astype(float).tolist()
    query = random.integers(1, levels, size=5).astype(float).tolist()
    row_ids, cosines = index_of(vectors).search(unit_vectors([query], ["q"])[0], top_k=top_k)
    expected_ids, expected_cosines = by_hand(vectors, query, top_k)
    assert row_ids.tolist() == expected_ids
    assert cosines == pytest.approx(expected_cosines, abs=1e-12)


def test_a_thousand_equal_vectors_keep_the_order_of_addition():
    index = index_of([[0.3, 0.1, 0.7]] * 1000 + [[0.3, 0.1, 0.70001]])
    row_ids, _ = index.search(unit_vectors([[0.5, 0.2, 0.1]], ["q"])[0], top_k=40)
    assert row_ids.tolist() == list(range(1, 41))


def test_a_restricted_search_still_returns_top_k_of_the_allowed():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(200, 8)).tolist()
    allowed = np.arange(3, 200, 7)
    row_ids, _ = index_of(vectors).search(unit_vectors([vectors[0]], ["q"])[0], top_k=5, allowed=allowed)
    ranked = [one for one in by_hand(vectors, vectors[0], 200)[0] if one in allowed]
    assert row_ids.tolist() == ranked[:5]


def test_nothing_allowed_finds_nothing():
    row_ids, cosines = index_of([[1.0, 0.0]]).search(
        np.array([1, 0], np.float32), top_k=5, allowed=np.empty(0, np.int64)
    )
    assert len(row_ids) == len(cosines) == 0


def test_removed_vectors_are_gone_and_their_ids_are_not_mixed_up():
    index = index_of([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    index.remove(np.array([1, 99]))
    index.add(np.array([4]), unit_vectors([[1.0, 0.1]], ["d"]))
    row_ids, _ = index.search(np.array([1.0, 0.0], np.float32), top_k=9)
    assert row_ids.tolist() == [4, 3, 2]
    assert index.last_row_id == 4


def test_save_then_load_is_identity():
    index = index_of([[1.0, 0.0], [0.0, 1.0]], first_id=5)
    index.remove(np.array([6]))
    loaded = VectorIndex.from_bytes(bytes(index.to_bytes()), dimension=2, generation=7)
    assert (loaded.count, loaded.dimension, loaded.generation, loaded.last_row_id) == (1, 2, 7, 5)
    assert loaded.search(np.array([1, 0], np.float32), top_k=1)[0].tolist() == [5]


def test_faiss_keeps_the_limits_that_the_program_has_set():
    before = faiss.get_deserialization_vector_byte_limit()
    threads = faiss.omp_get_max_threads()
    index = index_of([[1.0, 0.0]])
    VectorIndex.from_bytes(bytes(index.to_bytes()), dimension=2, generation=1)
    index.search(np.array([1, 0], np.float32), top_k=1)
    assert faiss.get_deserialization_vector_byte_limit() == before
    assert faiss.omp_get_max_threads() == threads


def other_indexes():
    by_distance = faiss.IndexIDMap2(faiss.IndexFlatL2(2))
    return {
        "no index": b"IxMp and then nothing",
        "empty": b"",
        "cut short": bytes(index_of([[1.0, 0.0]] * 50).to_bytes())[:-40],
        "distances": faiss.serialize_index(by_distance).tobytes(),
        "no ids": faiss.serialize_index(faiss.IndexFlatIP(2)).tobytes(),
        "other dimension": bytes(index_of([[1.0, 0.0, 0.0]]).to_bytes()),
    }


@pytest.mark.parametrize("payload", other_indexes().values(), ids=other_indexes().keys())
def test_bytes_of_something_else_are_damage(payload):
    with pytest.raises(DamagedIndex):
        VectorIndex.from_bytes(payload, dimension=2, generation=1)
