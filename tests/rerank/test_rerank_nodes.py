import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.rerank.nodes import interpolate_scores, rerank_nodes, sigmoid
from llama_index_ko_rerank.types import RankedNode, SourceHit

scores_of_nodes = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), max_size=8)


def nodes_for(scores):
    return [
        NodeWithScore(node=TextNode(text=str(place), id_=str(place)), score=float(place))
        for place, _ in enumerate(scores)
    ]


def order_of(scores, **options):
    options = {"top_n": 100, **options}
    return [int(new.node.node_id) for new in rerank_nodes(nodes_for(scores), np.array(scores, float), **options)]


def test_the_best_come_first_and_equal_ones_keep_their_order():
    assert order_of([0.1, 0.7, 0.1, 0.9, 0.7]) == [3, 1, 4, 0, 2]


def test_at_most_top_n_come_back():
    assert order_of([0.1, 0.7, 0.9], top_n=2) == [2, 1]
    assert order_of([0.1], top_n=9) == [0]
    assert order_of([]) == []


def test_only_eligible_nodes_come_back():
    assert order_of([0.1, 0.5, 0.9, 0.7], eligible=np.array([True, True, False, True])) == [3, 1, 0]
    assert order_of([0.1, 0.2], eligible=np.array([False, False])) == []


@given(scores_of_nodes, st.integers(1, 9), st.none() | st.sampled_from([-2.0, 0.25, 2.0]))
def test_the_result_is_the_stable_sort_of_what_passes(scores, top_n, least):
    eligible = None if least is None else np.array(scores, float) >= least
    passing = [place for place, score in enumerate(scores) if least is None or score >= least]
    assert order_of(scores, top_n=top_n, eligible=eligible) == sorted(passing, key=lambda place: -scores[place])[:top_n]


def test_new_objects_come_back_and_the_old_ones_keep_their_scores():
    nodes = nodes_for([0, 0])
    new = rerank_nodes(nodes, np.array([0.2, 0.4]), top_n=2)
    assert [found.score for found in nodes] == [0.0, 1.0]
    assert [found.score for found in new] == [0.4, 0.2]
    assert not {id(found) for found in nodes} & {id(found) for found in new}
    assert all(type(found.score) is float for found in new)
    assert new[0].node is nodes[1].node


def test_the_retrieval_rank_and_score_are_kept_where_asked_for():
    new = rerank_nodes(nodes_for([0, 0]), np.array([0.2, 0.4]), top_n=2, keep_retrieval_score=True)
    assert [found.sources for found in new] == [
        {"retrieval": SourceHit(rank=2, score=1.0)},
        {"retrieval": SourceHit(rank=1, score=0.0)},
    ]


def test_a_missing_retrieval_score_is_kept_as_nought():
    nodes = [NodeWithScore(node=TextNode(text="a"))]
    (new,) = rerank_nodes(nodes, np.array([0.2]), top_n=1, keep_retrieval_score=True)
    assert new.sources == {"retrieval": SourceHit(rank=1, score=0.0)}


@pytest.mark.parametrize("keep", [False, True])
def test_sources_of_the_first_stage_are_kept(keep):
    legs = {"lexical": SourceHit(rank=3, score=7.5)}
    nodes = [RankedNode(node=TextNode(text="a"), score=0.9, sources=legs)]
    (new,) = rerank_nodes(nodes, np.array([0.2]), top_n=1, keep_retrieval_score=keep)
    assert isinstance(new, RankedNode)
    assert new.sources == legs | ({"retrieval": SourceHit(rank=1, score=0.9)} if keep else {})
    assert nodes[0].sources == legs


@given(st.floats(allow_nan=False))
def test_a_sigmoid_is_a_probability(logit):
    (probability,) = sigmoid(np.array([logit]))
    assert 0 <= probability <= 1
    assert probability == pytest.approx(1 - sigmoid(np.array([-logit]))[0])


def test_the_sigmoid_is_that_worked_by_hand():
    assert sigmoid(np.array([0.0, np.log(3), -np.log(3)])) == pytest.approx([0.5, 0.75, 0.25])


def test_large_logits_stay_apart():
    assert np.diff(sigmoid(np.array([20.0, 25.0, 30.0]))).min() > 0


class TestWindows:
    def test_the_stretch_that_a_score_rests_on_is_kept(self):
        first, second = rerank_nodes(nodes_for([0, 0]), np.array([0.2, 0.4]), top_n=2, windows=[(3, 9), None])
        assert isinstance(second, RankedNode)
        assert (second.window, second.sources, second.score) == ((3, 9), {}, 0.2)
        assert not isinstance(first, RankedNode)

    def test_what_an_earlier_reranker_read_is_not_said_of_this_one(self):
        before = RankedNode(
            node=TextNode(text="a"), score=0.9, sources={"lexical": SourceHit(rank=1, score=2)}, window=(0, 5)
        )
        (new,) = rerank_nodes([before], np.array([0.2]), top_n=1)
        assert (new.window, new.sources) == (None, before.sources)
        assert before.window == (0, 5)


class TestBlending:
    def test_it_is_the_one_worked_by_hand(self):
        # (12 - 4) / 8 = 1, (4 - 4) / 8 = 0, (6 - 4) / 8 = 0.25; then 0.2 of it and 0.8 of the probability.
        mixed = interpolate_scores(np.array([12.0, 4.0, 6.0]), np.array([0.1, 0.9, 0.5]), retrieval_weight=0.2)
        assert mixed == pytest.approx([0.2 + 0.08, 0.72, 0.05 + 0.4])

    def test_equal_retrieval_scores_leave_the_order_of_the_probabilities(self):
        assert interpolate_scores(np.array([3.0, 3.0]), np.array([0.2, 0.6]), retrieval_weight=0.5) == pytest.approx(
            [0.6, 0.8]
        )
        assert interpolate_scores(np.array([3.0]), np.array([0.2]), retrieval_weight=0.5) == pytest.approx([0.6])

    def test_no_candidates_have_no_scores(self):
        assert interpolate_scores(np.zeros(0), np.zeros(0), retrieval_weight=0.5).shape == (0,)

    @given(
        st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 10)), min_size=1, max_size=8),
        st.floats(0.1, 50),
        st.floats(-50, 50),
        st.sampled_from([0.0, 0.3, 1.0]),
    )
    def test_neither_unit_nor_origin_of_the_retrieval_score_matters(self, pairs, unit, origin, weight):
        retrieval, probabilities = np.array(pairs, float).T
        mixed = interpolate_scores(retrieval, probabilities / 10, retrieval_weight=weight)
        assert mixed == pytest.approx(
            interpolate_scores(unit * retrieval + origin, probabilities / 10, retrieval_weight=weight), abs=1e-6
        )
        assert ((mixed >= 0) & (mixed <= 1)).all()

    @given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 10)), min_size=2, max_size=8))
    def test_all_of_one_side_is_the_order_of_that_side(self, pairs):
        retrieval, probabilities = np.array(pairs, float).T
        assert interpolate_scores(retrieval, probabilities / 10, retrieval_weight=0.0) == pytest.approx(
            probabilities / 10
        )
        assert (
            np.argsort(interpolate_scores(retrieval, probabilities / 10, retrieval_weight=1.0), kind="stable")
            == np.argsort(retrieval, kind="stable")
        ).all()
