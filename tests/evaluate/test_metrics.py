import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate.metrics import (
    METRICS,
    hit_at_k,
    measure,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)

ALL = [hit_at_k, reciprocal_rank_at_k, ndcg_at_k, recall_at_k]
rankings = st.permutations(range(12)).flatmap(lambda ids: st.integers(0, 12).map(lambda n: ids[:n]))
relevant_sets = st.sets(st.integers(0, 14), min_size=1, max_size=5)


def test_a_relevant_third_result_is_a_hit_at_3_and_not_at_2():
    assert hit_at_k(["a", "b", "c"], {"c"}, k=3) == 1.0
    assert hit_at_k(["a", "b", "c"], {"c"}, k=2) == 0.0


def test_the_first_relevant_result_alone_gives_the_reciprocal_rank():
    assert reciprocal_rank_at_k(["a", "b", "c", "d"], {"c", "d"}, k=10) == 1 / 3
    assert reciprocal_rank_at_k(["a", "b", "c", "d"], {"c", "d"}, k=2) == 0.0


def test_ndcg_of_ranks_two_and_four_out_of_three_relevant_by_hand():
    gained = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(["a", "b", "c", "d"], {"b", "d", "never found"}, k=10) == pytest.approx(gained / ideal)


def test_ndcg_is_measured_against_no_more_than_k_relevant_ids():
    assert ndcg_at_k(["a", "b"], {"a", "b", "c", "d"}, k=2) == 1.0


def test_recall_counts_the_relevant_ids_found():
    assert recall_at_k(["a", "b", "c"], {"a", "c", "x", "y"}, k=3) == 0.5


def test_an_id_that_comes_again_counts_once():
    assert ndcg_at_k(["a", "a", "a"], {"a", "b"}, k=3) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert recall_at_k(["a", "a"], {"a", "b"}, k=2) == 0.5


def test_the_ranks_close_up_behind_an_id_that_comes_again():
    assert reciprocal_rank_at_k(["x", "x", "x", "a"], {"a"}, k=10) == 0.5
    assert hit_at_k(["x", "x", "a"], {"a"}, k=2) == 1.0


@pytest.mark.parametrize("metric", ALL)
def test_no_results_measure_as_zero(metric):
    assert metric([], {"a"}, k=10) == 0.0


@pytest.mark.parametrize("metric", ALL)
def test_a_k_of_zero_and_a_question_with_no_relevant_id_are_refused(metric):
    with pytest.raises(InvalidSetting, match="k=0"):
        metric(["a"], {"a"}, k=0)
    with pytest.raises(InvalidSetting, match="no relevant id"):
        metric(["a"], set(), k=1)


def test_measure_names_the_metrics_of_a_report_in_order():
    found = measure(["x", "a", *"bcdefghij"], {"a"})
    assert tuple(found) == METRICS
    assert found == {"hit@1": 0.0, "hit@3": 1.0, "hit@10": 1.0, "mrr@10": 0.5, "ndcg@10": 1 / math.log2(3)}


@given(rankings, relevant_sets, st.integers(1, 12))
def test_every_metric_is_a_share_and_never_falls_as_k_grows_where_it_is_a_sum(ranking, relevant, k):
    for metric in ALL:
        assert 0.0 <= metric(ranking, relevant, k=k) <= 1.0
    for metric in (hit_at_k, reciprocal_rank_at_k, recall_at_k):
        assert metric(ranking, relevant, k=k) <= metric(ranking, relevant, k=k + 1)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), min_size=1, max_size=5), st.integers(1, 12))
def test_ndcg_equals_that_of_scikit_learn_where_every_id_is_ranked(ranking, relevant, k):
    gains = np.array([[float(document in relevant) for document in range(12)]])
    scores = np.array([[-float(ranking.index(document)) for document in range(12)]])
    assert ndcg_at_k(ranking, relevant, k=k) == pytest.approx(ndcg_score(gains, scores, k=k))
