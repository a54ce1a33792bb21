"""Fitting a whole search to a collection: the weights of its retrievers, then the ranker above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from numpy.typing import NDArray

from llama_index_ko_rerank.data.dataset import RetrievalDataset
from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.evaluate.metrics import reciprocal_rank_at_k
from llama_index_ko_rerank.evaluate.significance import Interval, paired_difference
from llama_index_ko_rerank.rerank.ltr.features import FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample, fit_ranker
from llama_index_ko_rerank.rerank.ltr.model import LearningToRank, load_ranker
from llama_index_ko_rerank.rerank.nodes import interpolate_scores
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.train.tuning.fusion import FittedWeights, fit_weights, group_folds

FEWEST_QUESTIONS = 100
RankerChoice = Literal["none", "default", "fitted", "cross-encoder"]

_RETRIEVAL_WEIGHTS = np.linspace(0.95, 0.0, 20)
"""Weights of the first stage that are tried, the largest first: of equally good ones it is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class InterpolationExample:
    """The candidates of one question, as both stages see them.

    Attributes:
        retrieval: The first stage's scores, shape (candidates,).
        probabilities: The cross-encoder's, 0-1, in the same order.
        relevant: The indices of those that answer the question; may be empty.
    """

    retrieval: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    relevant: tuple[int, ...]

    def reciprocal_rank(self, weight: float) -> float:
        """Return 1 / rank of the first answer among the first ten, 0 where there is none."""
        scores = interpolate_scores(self.retrieval, self.probabilities, retrieval_weight=weight)
        return _reciprocal_rank(-scores, self.relevant)


def interpolation_example(
    question: str, found: Sequence[NodeWithScore], relevant: tuple[int, ...], reranker: BaseNodePostprocessor
) -> InterpolationExample:
    """Score the candidates of a question with a reranker.

    Args:
        question: The question.
        found: Its candidates, best first.
        relevant: The indices of those that answer it.
        reranker: One whose scores are probabilities and that returns all candidates.
    """
    judged = reranker.postprocess_nodes(list(found), query_bundle=QueryBundle(question))
    probabilities = {hit.node.node_id: float(hit.score or 0.0) for hit in judged}
    return InterpolationExample(
        np.array([float(hit.score or 0.0) for hit in found]),
        np.array([probabilities[hit.node.node_id] for hit in found]),
        relevant,
    )


def best_retrieval_weight(examples: Sequence[InterpolationExample]) -> float:
    """Find the weight of the first stage with the highest MRR@10, in steps of 1/20; of equal ones the largest."""
    means = [np.mean([example.reciprocal_rank(weight) for example in examples]) for weight in _RETRIEVAL_WEIGHTS]
    return round(float(_RETRIEVAL_WEIGHTS[int(np.argmax(means))]), 2)


def held_out_values(
    examples: Sequence[InterpolationExample], parts: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Return each question's reciprocal rank with the weight that is best on the parts that it is not in."""
    values = np.zeros(len(examples))
    for part in parts:
        weight = best_retrieval_weight([example for example, is_out in zip(examples, part, strict=True) if not is_out])
        for index in np.flatnonzero(part).tolist():
            values[index] = examples[index].reciprocal_rank(weight)
    return values


@dataclass(frozen=True, slots=True)
class FittedSearch:
    """Fitted weights and ranker, their gains on held-out questions, and the choice of ranker.

    Attributes:
        questions: How many questions there were.
        fusion: The weights of the retrievers; None for a single one.
        ranker: What should reorder: nothing, the ranker that ships, `fitted_ranker`, or the cross-encoder.
        fitted_ranker: The ranker fitted on all questions; use it only where `ranker` is ``fitted``.
        gains: By part, MRR@10 with it less MRR@10 without it, on held-out questions: ``fusion`` against the best
            retriever, ``default ranker`` against the first stage, ``fitted ranker`` against the better of these two,
            ``cross-encoder`` against what was best before it.
        retrieval_weight: The weight of the first stage beside the cross-encoder, 0-1; None where there is none.
    """

    questions: int
    fusion: FittedWeights | None
    ranker: RankerChoice
    fitted_ranker: LearningToRank
    gains: dict[str, Interval]
    retrieval_weight: float | None = None


def tune_search(
    lexical: KoreanBM25Retriever,
    dev_set: RetrievalDataset,
    *,
    dense: BaseRetriever | None = None,
    reranker: BaseNodePostprocessor | None = None,
    folds: int = 5,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda _: None,
) -> FittedSearch:
    """Fit fusion and ranker on questions whose passages are known, and keep a part only if it helps.

    All gains come from cross-validation over passages. The fusion stays where `fit_weights` finds that it gains. The
    ranker that ships, which was fitted on much more, stays where it does not lose; one fitted here replaces it only
    where its gain over it is certain, that is, where the 95 % interval is above 0. So does the cross-encoder, which is
    much slower: its scores are interpolated with those of the first stage, with the best weight.

    Args:
        lexical: The lexical retriever over the collection, as deep as the ranker's candidates.
        dev_set: 100 questions or more; its passage ids are the collection's node ids.
        dense: A retriever over vectors of the same nodes, where there is one.
        reranker: A cross-encoder, where there is one, that returns all candidates with their probabilities.
        folds: How many parts cross-validation makes.
        seed: Of the parts, the networks and the intervals.
        on_step: Called with each step that begins.

    Raises:
        EmptyCorpus: There are fewer than 100 questions.
    """
    if len(dev_set.questions) < FEWEST_QUESTIONS:
        raise EmptyCorpus(f"fitting needs {FEWEST_QUESTIONS} questions or more, not {len(dev_set.questions)}")
    gains: dict[str, Interval] = {}
    fusion = None
    first_stage: BaseRetriever = lexical
    if dense is not None:
        on_step("fitting the weight of each retriever")
        retrievers = {"lexical": lexical, "dense": dense}
        fusion = fit_weights(retrievers, dev_set, folds=folds, seed=seed)
        gains["fusion"] = fusion.gain
        first_stage = fusion.retriever(retrievers, similarity_top_k=lexical.similarity_top_k)
    on_step("reading the candidates of every question")
    found = [list(first_stage.retrieve(QueryBundle(question.text))) for question in dev_set.questions]
    examples = _examples(found, lexical, dev_set)
    on_step("fitting the ranker")
    tokenizers = lexical.lexical_index.identity
    fitted = fit_ranker(examples, seed=seed, tokenizers=tokenizers, notes={"data": dev_set.name})
    values = {
        "none": np.array([_ranker_value(example, None) for example in examples]),
        "default": np.array([_ranker_value(example, load_ranker()) for example in examples]),
        "fitted": _held_out(examples, dev_set, folds, seed),
    }
    gains["default ranker"] = paired_difference(values["default"], values["none"], seed=seed)
    choice: RankerChoice = "default" if gains["default ranker"].value >= 0 else "none"
    gains["fitted ranker"] = paired_difference(values["fitted"], values[choice], seed=seed)
    if gains["fitted ranker"].low > 0:
        choice = "fitted"
    retrieval_weight = None
    if reranker is not None:
        on_step("reading the candidates with the cross-encoder")
        judged = [
            interpolation_example(question.text, hits, example.relevant, reranker)
            for question, hits, example in zip(dev_set.questions, found, examples, strict=True)
        ]
        retrieval_weight = best_retrieval_weight(judged)
        in_turn = held_out_values(judged, group_folds(dev_set.questions, folds, seed))
        gains["cross-encoder"] = paired_difference(in_turn, values[choice], seed=seed)
        if gains["cross-encoder"].low > 0:
            choice = "cross-encoder"
    return FittedSearch(len(dev_set.questions), fusion, choice, fitted, gains, retrieval_weight)


def _examples(
    found: Sequence[list[NodeWithScore]], lexical: KoreanBM25Retriever, dev_set: RetrievalDataset
) -> list[RankingExample]:
    extractor = FeatureExtractor(lexical.lexical_index)
    examples = []
    for question, hits in zip(dev_set.questions, found, strict=True):
        relevant = tuple(row for row, hit in enumerate(hits) if hit.node.node_id in question.passage_ids)
        examples.append(RankingExample(extractor.matrix(question.text, hits), relevant))
    return examples


def _held_out(
    examples: Sequence[RankingExample], dev_set: RetrievalDataset, folds: int, seed: int
) -> NDArray[np.float64]:
    values = np.zeros(len(examples))
    for part in group_folds(dev_set.questions, folds, seed):
        ranker = fit_ranker([example for example, out in zip(examples, part, strict=True) if not out], seed=seed)
        for index in np.flatnonzero(part).tolist():
            values[index] = _ranker_value(examples[index], ranker)
    return values


def _ranker_value(example: RankingExample, ranker: LearningToRank | None) -> float:
    costs = np.arange(len(example.matrix)) if ranker is None else -ranker.scores(example.matrix)
    return _reciprocal_rank(costs, example.relevant)


def _reciprocal_rank(costs: NDArray[Any], relevant: Sequence[int]) -> float:
    """Return 1 / rank of the first relevant row among the ten of least cost; equal ones keep their order."""
    if not len(relevant):
        return 0.0
    return reciprocal_rank_at_k(np.argsort(costs, kind="stable").tolist(), set(relevant), k=10)


def gain_text(gains: Mapping[str, Interval]) -> list[str]:
    """Write each gain in a line: the part, its value, and its 95 % interval."""
    return [f"{part}: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] MRR@10" for part, gain in gains.items()]
