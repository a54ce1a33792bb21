import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.ranked_node import LegHit, RankedNode
from llama_index_ko_rerank.rerank.order import reordered, sigmoid

scores_of_nodes = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), max_size=8)


def nodes_for(scores):
    return [
        NodeWithScore(node=TextNode(text=str(place), id_=str(place)), score=float(place))
        for place, _ in enumerate(scores)
    ]


def order_of(scores, **options):
    options = {"top_n": 100, **options}
    return [int(new.node.node_id) for new in reordered(nodes_for(scores), np.array(scores, float), **options)]


def test_the_best_come_first_and_equal_ones_keep_their_order():
    assert order_of([0.1, 0.7, 0.1, 0.9, 0.7]) == [3, 1, 4, 0, 2]


def test_at_most_top_n_come_back():
    assert order_of([0.1, 0.7, 0.9], top_n=2) == [2, 1]
    assert order_of([0.1], top_n=9) == [0]
    assert order_of([]) == []


def test_the_threshold_lets_its_own_value_pass():
    assert order_of([0.1, 0.5, 0.9, 0.49], threshold=0.5) == [2, 1]
    assert order_of([0.1, 0.2], threshold=0.5) == []


@given(scores_of_nodes, st.integers(1, 9), st.none() | st.sampled_from([-2.0, 0.25, 2.0]))
def test_the_result_is_the_stable_sort_of_what_passes(scores, top_n, threshold):
    passing = [place for place, score in enumerate(scores) if threshold is None or score >= threshold]
    assert (
        order_of(scores, top_n=top_n, threshold=threshold) == sorted(passing, key=lambda place: -scores[place])[:top_n]
    )


def test_new_objects_come_back_and_the_old_ones_keep_their_scores():
    nodes = nodes_for([0, 0])
    new = reordered(nodes, np.array([0.2, 0.4]), top_n=2)
    assert [found.score for found in nodes] == [0.0, 1.0]
    assert [found.score for found in new] == [0.4, 0.2]
    assert not {id(found) for found in nodes} & {id(found) for found in new}
    assert all(type(found.score) is float for found in new)
    assert new[0].node is nodes[1].node


def test_the_retrieval_rank_and_score_are_kept_where_asked_for():
    new = reordered(nodes_for([0, 0]), np.array([0.2, 0.4]), top_n=2, keep_retrieval_score=True)
    assert [found.legs for found in new] == [
        {"retrieval": LegHit(rank=2, score=1.0)},
        {"retrieval": LegHit(rank=1, score=0.0)},
    ]


def test_a_missing_retrieval_score_is_kept_as_nought():
    nodes = [NodeWithScore(node=TextNode(text="a"))]
    (new,) = reordered(nodes, np.array([0.2]), top_n=1, keep_retrieval_score=True)
    assert new.legs == {"retrieval": LegHit(rank=1, score=0.0)}


@pytest.mark.parametrize("keep", [False, True])
def test_legs_of_the_first_stage_are_kept(keep):
    legs = {"lexical": LegHit(rank=3, score=7.5)}
    nodes = [RankedNode(node=TextNode(text="a"), score=0.9, legs=legs)]
    (new,) = reordered(nodes, np.array([0.2]), top_n=1, keep_retrieval_score=keep)
    assert isinstance(new, RankedNode)
    assert new.legs == legs | ({"retrieval": LegHit(rank=1, score=0.9)} if keep else {})
    assert nodes[0].legs == legs


@given(st.floats(allow_nan=False))
def test_a_sigmoid_is_a_probability(logit):
    (probability,) = sigmoid(np.array([logit]))
    assert 0 <= probability <= 1
    assert probability == pytest.approx(1 - sigmoid(np.array([-logit]))[0])


def test_the_sigmoid_is_that_worked_by_hand():
    assert sigmoid(np.array([0.0, np.log(3), -np.log(3)])) == pytest.approx([0.5, 0.75, 0.25])


def test_large_logits_stay_apart():
    assert np.diff(sigmoid(np.array([20.0, 25.0, 30.0]))).min() > 0
