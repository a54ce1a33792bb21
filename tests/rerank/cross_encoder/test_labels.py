import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.cross_encoder.loading import label_index, label_logits
from llama_index_ko_rerank.rerank.nodes import sigmoid

NAMES = {0: "무관", 1: "일부", 2: "정답"}


@pytest.mark.parametrize(("label", "place"), [("정답", 2), ("무관", 0), (1, 1)])
def test_a_label_is_found_by_name_or_number(label, place):
    assert label_index("모형", NAMES, label) == place


def test_a_model_with_one_score_needs_no_label():
    assert label_index("모형", {0: "LABEL_0"}, None) == 0
    with pytest.raises(InvalidSetting, match="has no labels to choose from; leave label None"):
        label_index("모형", {0: "LABEL_0"}, 0)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "'모형' has 3 labels; say with label= whose probability counts: 0 = '무관', 1 = '일부', 2 = '정답'"),
        (3, "'모형' has no label 3; known: 0 = '무관', 1"),
        ("정답임", r"has no label '정답임'; did you mean '정답'\?"),
        ("2", "has no label '2'"),
    ],
)
def test_what_is_no_label_is_refused_with_those_that_there_are(label, reason):
    with pytest.raises(InvalidSetting, match=reason):
        label_index("모형", NAMES, label)


@given(
    st.lists(st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 2)
)
def test_the_sigmoid_of_a_labels_logit_is_its_softmax(rows, place):
    logits = np.array(rows, np.float32)
    powers = np.exp(logits.astype(np.float64))
    wanted = powers[:, place] / powers.sum(1)
    assert sigmoid(label_logits(logits, place)) == pytest.approx(wanted, rel=1e-6)


def test_one_label_keeps_its_logit():
    assert label_logits(np.array([[0.5], [-2.0]], np.float32), 0).tolist() == [0.5, -2.0]
