"""Fitting the weights of a hybrid."""

from __future__ import annotations

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.data import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.train.tuning.fusion import fit_weights

PASSAGES = tuple(Passage(f"p{number}", f"passage {number}") for number in range(40))
DATASET = RetrievalDataset(
    "made", "dev", PASSAGES, tuple(Question(f"q{number}", str(number), (f"p{number}",)) for number in range(40))
)


class Oracle(BaseRetriever):
    """Finds the passage with the number of the question where `knows` says so, and its neighbour otherwise.

    How far the first stands above the second is `gap` of the number; if not given, 1.0 where it knows, and else 0.1.
    """

    def __init__(self, knows, gap=None) -> None:
        self.knows = knows
        self.gap = gap or (lambda number: 1.0 if knows(number) else 0.1)
        super().__init__()

    def _retrieve(self, query_bundle):
        number = int(query_bundle.query_str)
        order = [number, (number + 1) % 40] if self.knows(number) else [(number + 1) % 40, number]
        scores = [1.0, 1.0 - self.gap(number)]
        found = zip([*order, (number + 7) % 40], [*scores, 0.0], strict=True)
        return [NodeWithScore(node=TextNode(id_=f"p{index}", text=""), score=score) for index, score in found]


def test_retrievers_that_know_different_questions_are_both_kept():
    fitted = fit_weights({"even": Oracle(lambda n: n % 2 == 0), "odd": Oracle(lambda n: n % 2 == 1)}, DATASET)
    assert fitted.dropped == ()
    assert fitted.gain.low > 0.1
    assert sum(fitted.weights.values()) == pytest.approx(1.0)


def test_a_leg_that_knows_nothing_is_dropped():
    retrievers = {"good": Oracle(lambda n: n % 5 != 0), "ignorant": Oracle(lambda n: False)}
    fitted = fit_weights(retrievers, DATASET)
    assert fitted.best_retriever == "good"
    assert fitted.weights == {"good": 1.0, "ignorant": 0.0}
    assert fitted.dropped == ("ignorant",)


@pytest.mark.parametrize(("losses", "is_kept"), [((20, 25), False), ((), True)])
def test_a_gain_within_its_standard_error_is_taken_for_luck(losses, is_kept):
    wins = (0, 10, 15, 30)
    close = {*wins, *losses}
    retrievers = {
        "good": Oracle(lambda n: n not in wins, gap=lambda n: 0.1 if n in close else 1.0),
        "lucky": Oracle(lambda n: n in wins, gap=lambda n: 1.0 if n in close else 0.1),
    }
    fitted = fit_weights(retrievers, DATASET)
    assert fitted.gain.value > 0
    assert (fitted.weights["lucky"] > 0) == is_kept


def test_the_fitted_hybrid_gives_the_fitted_value():
    retrievers = {"even": Oracle(lambda n: n % 2 == 0), "odd": Oracle(lambda n: n % 2 == 1)}
    fitted = fit_weights(retrievers, DATASET, metric="hit@1")
    retriever = fitted.retriever(retrievers)
    hits = [
        retriever.retrieve(question.text)[0].node.node_id == question.passage_ids[0] for question in DATASET.questions
    ]
    assert sum(hits) / len(hits) == pytest.approx(1.0)


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_three_retrievers_are_fitted_by_turns(fusion):
    retrievers = {str(rest): Oracle(lambda n, rest=rest: n % 3 == rest) for rest in range(3)}
    fitted = fit_weights(retrievers, DATASET, fusion=fusion)
    assert set(fitted.weights) == {"0", "1", "2"}
    assert fitted.gain.value >= 0 or fitted.dropped


def test_the_same_seed_gives_the_same_weights():
    retrievers = {"even": Oracle(lambda n: n % 2 == 0), "odd": Oracle(lambda n: n % 2 == 1)}
    assert fit_weights(retrievers, DATASET, seed=3) == fit_weights(retrievers, DATASET, seed=3)


def test_one_retriever_or_an_unknown_metric_is_refused():
    leg = Oracle(lambda n: True)
    with pytest.raises(InvalidSetting, match="2 retrievers"):
        fit_weights({"only": leg}, DATASET)
    with pytest.raises(InvalidSetting, match=r"did you mean 'mrr@10'"):
        fit_weights({"a": leg, "b": leg}, DATASET, metric="mrr@1")


def test_too_few_passages_to_hold_some_out_are_refused():
    leg = Oracle(lambda n: True)
    with pytest.raises(EmptyCorpus, match="5 passages or more, not on 3"):
        fit_weights({"a": leg, "b": leg}, DATASET.with_questions(DATASET.questions[:3]))
