import logging

import numpy as np
import pytest
import torch

from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.rerank.ltr.features import DENSE, FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample, fit_ranker
from tests.corpora.ranking import column, examples, fitted, random_matrix, searcher

QUICK = {"feature_sets": [DENSE], "hidden": 4, "restarts": 1, "epochs": 30}


def lists(count, *, answer=lambda matrix: int(matrix[:, 1].argmax()), weight=1.0, seed=0):
    """Make lists of six candidates of three features whose answer follows a rule."""
    rng = np.random.default_rng(seed)
    made = [random_matrix(rng, 6, 3) for _ in range(count)]
    return [RankingExample(matrix, (answer(matrix),), weight) for matrix in made]


def hits(ranker, judged):
    return np.mean([int(ranker.scores(example.matrix).argmax()) in example.relevant for example in judged])


class TestLearning:
    def test_a_rule_is_learnt_from_100_questions_and_holds_on_others(self):
        ranker = fit_ranker(lists(100), **QUICK)
        assert hits(ranker, lists(200, seed=1)) > 0.85

    def test_a_difference_to_the_best_is_learnt_where_the_level_says_nothing(self):
        def shifted(judged, seed):
            levels = np.random.default_rng(seed).normal(0, 50, len(judged))
            return [
                RankingExample(example.matrix + level, example.relevant)
                for example, level in zip(judged, levels, strict=True)
            ]

        ranker = fit_ranker(shifted(lists(200), 2), **QUICK)
        assert hits(ranker, shifted(lists(200, seed=1), 3)) > 0.8

    def test_it_ranks_the_library_it_was_fitted_on(self):
        assert hits(fitted(), [example for example in examples() if example.relevant]) == 1

    def test_heavy_questions_outweigh_light_ones(self):
        least = lists(150, answer=lambda matrix: int(matrix[:, 1].argmin()), weight=0.01, seed=4)
        ranker = fit_ranker([*lists(150), *least], **QUICK)
        assert hits(ranker, lists(200, seed=1)) > 0.8

    def test_several_answers_are_each_as_good(self):
        judged = [
            RankingExample(example.matrix, tuple(np.argsort(-example.matrix[:, 1])[:2].tolist()))
            for example in lists(150)
        ]
        assert hits(fit_ranker(judged, **QUICK), judged) > 0.9

    def test_what_is_the_same_for_all_candidates_is_not_read_as_a_difference(self):
        judged = lists(60)
        for example in judged:
            example.matrix[:, 0] = 1.0
        assert fit_ranker(judged, **QUICK).relative == ("dense_score", "dense_reciprocal_rank")


class TestRepeating:
    def test_a_seed_gives_one_and_the_same_ranker(self):
        first, again = (fit_ranker(lists(50), **QUICK, seed=3).to_json() for _ in range(2))
        assert first == again
        assert fit_ranker(lists(50), **QUICK, seed=4).to_json() != first

    def test_the_callers_random_numbers_are_left_alone(self):
        torch.manual_seed(5)
        wanted = torch.rand(3).tolist()
        torch.manual_seed(5)
        fit_ranker(lists(20), **QUICK)
        assert torch.rand(3).tolist() == wanted

    def test_the_examples_are_left_alone(self):
        judged = lists(20)
        before = [example.matrix.copy() for example in judged]
        fit_ranker(judged, **QUICK)
        assert all((example.matrix == old).all() for example, old in zip(judged, before, strict=True))

    def test_a_mean_of_networks_is_one_network(self):
        settings = QUICK | {"restarts": 2}
        both = fit_ranker(lists(50), **settings)
        apart = [fit_ranker(lists(50), **QUICK, seed=seed) for seed in (0, 1)]
        matrix = lists(1, seed=9)[0].matrix
        assert both.scores(matrix) == pytest.approx(np.mean([one.scores(matrix) for one in apart], axis=0), abs=1e-6)


class TestRefusals:
    def test_questions_without_an_answer_are_left_out_counted_and_told(self, caplog):
        useless = [RankingExample(np.zeros((3, 3)), ()), RankingExample(np.zeros((0, 3)), ())]
        with caplog.at_level(logging.INFO):
            ranker = fit_ranker([*lists(20), *useless], **QUICK)
        assert (ranker.notes["questions"], ranker.notes["left_out"]) == (20, 2)
        assert "2 of 22 questions" in caplog.text

    @pytest.mark.parametrize(
        "useless", [[], [RankingExample(np.zeros((3, 3)), ())], [RankingExample(np.ones((1, 3)), (0,))]]
    )
    def test_nothing_to_learn_from_is_refused(self, useless):
        with pytest.raises(EmptyCorpus, match="has both an answer and another passage"):
            fit_ranker(useless, **QUICK)

    @pytest.mark.parametrize(
        ("example", "reason"),
        [
            (RankingExample(np.zeros((2, 4)), (0,)), "3 features are due"),
            (RankingExample(np.zeros((2, 3)), (2,)), "relevant=\\(2,\\)"),
            (RankingExample(np.zeros((2, 3)), (0,), 0.0), "weight=0.0"),
        ],
    )
    def test_examples_that_do_not_fit_are_refused(self, example, reason):
        with pytest.raises(InvalidSetting, match=reason):
            fit_ranker([example], **QUICK)

    @pytest.mark.parametrize("name", ["hidden", "restarts", "epochs"])
    def test_counts_below_1_are_refused(self, name):
        with pytest.raises(InvalidSetting, match=f"{name} must be 1 or more, not 0"):
            fit_ranker(lists(5), **(QUICK | {name: 0}))


def test_a_dense_leg_can_be_learnt_beside_the_words():
    extractor = FeatureExtractor(searcher().lexical_index, feature_sets=["lexical", DENSE], dense_retriever="bigrams")
    judged = examples(extractor)
    assert column(extractor, judged[0].matrix, "dense_found").any()
    ranker = fit_ranker(judged, feature_sets=["lexical", DENSE], hidden=4, restarts=1, epochs=2)
    assert ranker.feature_names == extractor.feature_names
