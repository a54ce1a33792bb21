import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.fusion import (
    NORMALIZATIONS,
    check_weights,
    convex_combination,
    reciprocal_rank_fusion,
)

ids = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)
scores = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
scored_lists = st.lists(st.dictionaries(st.sampled_from("abcdefgh"), scores, max_size=6), min_size=1, max_size=4)
weights_of_four = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=4, max_size=4).filter(any)
names = st.sampled_from(sorted(NORMALIZATIONS))


class TestReciprocalRanks:
    def test_sums_are_those_worked_by_hand(self):
        fused = reciprocal_rank_fusion([["a", "b", "c"], ["c", "a"]])
        assert [hit.id for hit in fused] == ["a", "c", "b"]
        assert [hit.score for hit in fused] == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62])

    def test_weights_multiply(self):
        fused = reciprocal_rank_fusion([["a", "b"], ["b", "a"]], weights=[1, 3], k=1)
        assert dict(fused) == pytest.approx({"b": 1 / 3 + 3 / 2, "a": 1 / 2 + 3 / 3})

    def test_a_small_k_lets_the_first_ranks_stand_out(self):
        rankings = [["a", "b", "c"], ["b", "c", "d"], ["d", "b", "e"]]
        assert reciprocal_rank_fusion(rankings, k=0)[0].score == pytest.approx(0.5 + 1 + 0.5)

    def test_a_leg_of_weight_nought_adds_not_even_its_ids(self):
        assert reciprocal_rank_fusion([["a"], ["b"]], weights=[1, 0]) == reciprocal_rank_fusion([["a"]])

    def test_ties_keep_the_order_of_the_first_leg(self):
        assert [hit.id for hit in reciprocal_rank_fusion([["x", "y"], ["y", "x"]])] == ["x", "y"]
        assert [hit.id for hit in reciprocal_rank_fusion([["z"], ["a"], ["m"]])] == ["z", "a", "m"]

    def test_empty_lists_are_fine(self):
        assert reciprocal_rank_fusion([[], []]) == []

    def test_a_repeated_id_is_refused(self):
        with pytest.raises(InvalidSetting, match="'b' twice"):
            reciprocal_rank_fusion([["a", "b", "c", "b"]])

    def test_a_negative_k_is_refused(self):
        with pytest.raises(InvalidSetting, match="k must be 0 or more, not -1"):
            reciprocal_rank_fusion([["a"]], k=-1)

    @given(st.lists(ids, min_size=1, max_size=4), weights_of_four)
    def test_the_result_holds_every_id_once_best_first(self, rankings, weights):
        weights = weights[: len(rankings)] if any(weights[: len(rankings)]) else None
        fused = reciprocal_rank_fusion(rankings, weights=weights)
        counted = [ranking for ranking, weight in zip(rankings, weights or [1] * len(rankings), strict=True) if weight]
        assert sorted(hit.id for hit in fused) == sorted({identity for ranking in counted for identity in ranking})
        assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)

    @given(st.lists(ids, min_size=4, max_size=4), weights_of_four, st.sampled_from([0.125, 2.0, 1024.0]))
    def test_scaling_all_weights_scales_the_scores_and_changes_no_order(self, rankings, weights, factor):
        fused = reciprocal_rank_fusion(rankings, weights=weights)
        scaled = reciprocal_rank_fusion(rankings, weights=[weight * factor for weight in weights])
        assert [hit.id for hit in scaled] == [hit.id for hit in fused]
        assert [hit.score for hit in scaled] == pytest.approx([hit.score * factor for hit in fused])


class TestConvexCombination:
    def test_min_max_is_that_worked_by_hand(self):
        fused = convex_combination([{"a": 10.0, "b": 6.0, "c": 2.0}, {"c": 0.9, "d": 0.5}], weights=[1, 1])
        assert dict(fused) == pytest.approx({"a": 0.5, "c": 0.5, "b": 0.25, "d": 0.0})
        assert [hit.id for hit in fused] == ["a", "c", "b", "d"]

    def test_max_is_that_worked_by_hand(self):
        fused = convex_combination([{"a": 8.0, "b": 2.0}, {"b": 4.0, "c": 1.0}], weights=[3, 1], normalizations="max")
        assert dict(fused) == pytest.approx({"a": 0.75, "b": 0.75 / 4 + 0.25, "c": 0.0625})

    def test_z_score_is_that_worked_by_hand_and_what_is_missing_gets_the_lowest(self):
        # 3, 2, 1: mean 2, deviation sqrt(2/3). 5, 1: mean 3, deviation 2.
        fused = dict(
            convex_combination([{"a": 3.0, "b": 2.0, "c": 1.0}, {"c": 5.0, "d": 1.0}], normalizations="z-score")
        )
        step = 1 / math.sqrt(2 / 3)
        assert fused == pytest.approx({"a": (step - 1) / 2, "b": -0.5, "c": (1 - step) / 2, "d": (-step - 1) / 2})

    def test_each_leg_may_have_its_own_normalisation(self):
        fused = convex_combination([{"a": 4.0, "b": 2.0}, {"a": 4.0, "b": 2.0}], normalizations=["max", "min-max"])
        assert dict(fused) == pytest.approx({"a": 1.0, "b": 0.25})

    @pytest.mark.parametrize(("name", "value"), [("max", 1.0), ("min-max", 1.0), ("z-score", 0.0)])
    def test_equal_scores_are_told_nothing_apart(self, name, value):
        fused = convex_combination([{"a": 0.1, "b": 0.1, "c": 0.1}], normalizations=name)
        assert fused == [("a", value), ("b", value), ("c", value)]

    def test_a_leg_without_a_positive_score_is_all_nought_by_max(self):
        assert convex_combination([{"a": 0.0, "b": -2.0}], normalizations="max") == [("a", 0.0), ("b", 0.0)]

    def test_a_leg_of_weight_nought_adds_not_even_its_ids(self):
        assert convex_combination([{"a": 2.0, "b": 1.0}, {"c": 9.0}], weights=[2, 0]) == [("a", 1.0), ("b", 0.0)]

    def test_ties_keep_the_order_of_the_first_leg(self):
        fused = convex_combination([{"x": 1.0, "y": 0.0}, {"y": 1.0, "x": 0.0}, {"a": 0.0, "y": -1.0, "x": -1.0}])
        assert [hit.id for hit in fused] == ["x", "y", "a"]

    def test_empty_lists_are_fine(self):
        assert convex_combination([{}, {}]) == []
        assert convex_combination([{}, {"a": 3.0}], normalizations="max") == [("a", 0.5)]

    def test_scores_are_plain_floats(self):
        assert {type(hit.score) for hit in convex_combination([{"a": 2, "b": 1}, {"a": 3}])} == {float}

    def test_an_unknown_normalisation_is_refused_with_the_nearest_one(self):
        with pytest.raises(InvalidSetting, match="did you mean 'min-max'"):
            convex_combination([{"a": 1.0}], normalizations="minmax")

    def test_as_many_normalisations_as_retrievers_are_needed(self):
        with pytest.raises(InvalidSetting, match="2 retrievers need as many normalisations, not 1"):
            convex_combination([{"a": 1.0}, {}], normalizations=["max"])

    @given(scored_lists, weights_of_four, names)
    def test_the_result_holds_every_id_once_best_first(self, lists, weights, name):
        weights = weights[: len(lists)] if any(weights[: len(lists)]) else None
        fused = convex_combination(lists, weights=weights, normalizations=name)
        counted = [
            scores_by_id for scores_by_id, weight in zip(lists, weights or [1] * len(lists), strict=True) if weight
        ]
        assert sorted(hit.id for hit in fused) == sorted(
            {identity for scores_by_id in counted for identity in scores_by_id}
        )
        assert [hit.score for hit in fused] == sorted((hit.score for hit in fused), reverse=True)

    @given(scored_lists, names, st.sampled_from([0.125, 2.0, 1024.0]))
    def test_scaling_all_weights_changes_nothing(self, lists, name, factor):
        weights = [1.0 + number for number in range(len(lists))]
        scaled = [weight * factor for weight in weights]
        assert convex_combination(lists, weights=scaled, normalizations=name) == convex_combination(
            lists, weights=weights, normalizations=name
        )

    @given(scored_lists)
    def test_max_and_min_max_stay_at_most_one(self, lists):
        for name in ("max", "min-max"):
            assert all(hit.score <= 1 + 1e-9 for hit in convex_combination(lists, normalizations=name))

    @given(st.dictionaries(st.sampled_from("abcdefgh"), scores, min_size=1))
    def test_one_list_keeps_its_own_order(self, scores_by_id):
        by_score = sorted(scores_by_id, key=lambda identity: -scores_by_id[identity])
        fused = convex_combination([scores_by_id])
        assert [scores_by_id[hit.id] for hit in fused] == [scores_by_id[identity] for identity in by_score]


class TestWeights:
    def test_none_are_equal_ones(self):
        assert check_weights(None, 3) == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize(
        ("weights", "retrievers", "reason"),
        [
            ([1.0], 2, "2 retrievers need as many weights, not 1"),
            ([1.0, -0.5], 2, "weights must be 0 or more and not all 0"),
            ([0, 0], 2, "not all 0"),
            ([1.0, math.nan], 2, "weights must be 0 or more"),
            ([1.0, math.inf], 2, "weights must be 0 or more"),
            (None, 0, "at least one retriever"),
            ([], 0, "at least one retriever"),
        ],
    )
    def test_what_cannot_weigh_is_refused(self, weights, retrievers, reason):
        with pytest.raises(InvalidSetting, match=reason):
            check_weights(weights, retrievers)

    @pytest.mark.parametrize("fuse", [reciprocal_rank_fusion, convex_combination])
    def test_both_fusions_check_their_weights(self, fuse):
        with pytest.raises(InvalidSetting, match="1 retrievers need as many weights, not 2"):
            fuse([{"a": 1.0}], weights=[1, 2])
