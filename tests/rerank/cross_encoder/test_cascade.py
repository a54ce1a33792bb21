import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.rerank.cross_encoder.scoring import ErrorBound, needs_rescoring, top_k_indices
from llama_index_ko_rerank.rerank.nodes import interpolate_scores, sigmoid


def identity(logits):
    return logits


class TestMargin:
    def test_nothing_is_left_out_before_120_differences_were_seen(self):
        margin = ErrorBound()
        margin.learn(np.full(119, 0.1))
        assert margin.width == math.inf
        margin.learn(np.array([0.1]))
        assert margin.width == pytest.approx(0.3)

    def test_it_is_three_root_mean_squares(self):
        margin = ErrorBound()
        margin.learn(np.array([0.3, -0.4] * 60))
        assert margin.width == pytest.approx(3 * math.sqrt((0.09 + 0.16) / 2))

    def test_it_follows_a_change(self):
        margin = ErrorBound()
        margin.learn(np.full(4_000, 0.1))
        for _ in range(60):
            margin.learn(np.full(500, 0.5))
        assert margin.width == pytest.approx(1.5, rel=0.01)


class TestReach:
    def test_only_what_could_rise_to_the_last_first_place_is_in_reach(self):
        quick = np.array([5.0, 4.0, 3.9, 3.7, 1.0])
        exact = np.array([5.1, 3.8, np.nan, np.nan, np.nan])
        assert needs_rescoring(quick, exact, width=0.1, top_n=2, transform=identity).tolist() == [2, 3]
        assert needs_rescoring(quick, exact, width=0.05, top_n=2, transform=identity).tolist() == [2]
        assert needs_rescoring(quick, exact, width=math.inf, top_n=2, transform=identity).tolist() == [2, 3, 4]

    def test_with_a_retrieval_weight_the_retrieval_score_counts(self):
        retrieval = np.array([1.0, 0.0, 1.0, 0.0])

        def transform(logits):
            return interpolate_scores(retrieval, sigmoid(logits), retrieval_weight=0.5)

        exact = np.array([2.0, np.nan, np.nan, np.nan])
        # 0.5 + 0.44 is to be reached: the third comes near by its retrieval score, the second does not.
        assert needs_rescoring(
            np.array([2.0, 1.9, 1.8, -1.0]), exact, width=0.3, top_n=1, transform=transform
        ).tolist() == [2]

    @given(
        st.lists(st.tuples(st.integers(-30, 30), st.integers(-10, 10), st.integers(0, 4)), min_size=1, max_size=15),
        st.integers(1, 15),
        st.sampled_from([0.0, 0.4]),
    )
    def test_the_first_places_are_the_exact_ones_where_no_error_is_above_the_margin(self, rows, top_n, weight):
        exact, errors, retrieval = (np.array(column, float) / 10 for column in zip(*rows, strict=True))
        top_n = min(top_n, len(exact))

        def transform(logits):
            return interpolate_scores(retrieval, sigmoid(logits), retrieval_weight=weight)

        quick = exact + errors
        known = np.full(len(exact), np.nan)
        places = top_k_indices(transform(quick), top_n)
        while len(places):
            known[places] = exact[places]
            places = needs_rescoring(quick, known, width=1.0, top_n=top_n, transform=transform)
        found = np.where(np.isnan(known), -np.inf, transform(known))
        wanted = transform(exact)
        assert top_k_indices(found, top_n).tolist() == top_k_indices(wanted, top_n).tolist()


def test_equal_scores_keep_their_places():
    assert top_k_indices(np.array([1.0, 2.0, 1.0, 2.0]), 3).tolist() == [1, 3, 0]
