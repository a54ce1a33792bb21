import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import DimensionMismatch, InvalidVector
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings


def test_three_four_becomes_point_six_point_eight():
    assert normalize_embeddings([[3.0, 4.0]], ["a"]) == pytest.approx(np.array([[0.6, 0.8]], dtype=np.float32))


@given(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3).filter(lambda v: any(v)))
def test_every_vector_but_zero_comes_out_at_length_one(vector):
    unit = normalize_embeddings([vector], ["a"])
    assert unit.dtype == np.float32
    assert np.linalg.norm(unit.astype(np.float64)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "vector", [None, [], [0.0, -0.0], [float("nan"), 1.0], [1.0, float("inf")], ["x", "y"], [[1.0]]]
)
def test_a_vector_without_a_direction_is_refused_by_name(vector):
    with pytest.raises(InvalidVector):
        normalize_embeddings([vector], ["node 'a'"])


def test_the_message_names_the_node_that_has_nan():
    with pytest.raises(InvalidVector, match="node 'b'"):
        normalize_embeddings([[1.0, 0.0], [float("nan"), 0.0]], ["node 'a'", "node 'b'"])


def test_two_lengths_in_one_call_are_refused():
    with pytest.raises(DimensionMismatch, match="b has a vector of 3 numbers and a one of 2"):
        normalize_embeddings([[1.0, 0.0], [1.0, 0.0, 0.0]], ["a", "b"])
