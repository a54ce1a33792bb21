"""Fitted weights of the retrievers of a hybrid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import QueryBundle
from numpy.typing import NDArray

from llama_index_ko_rerank.data.dataset import Question, RetrievalDataset
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, nearest
from llama_index_ko_rerank.evaluate.significance import Interval, paired_difference
from llama_index_ko_rerank.retrieve.fusion import Normalization, normalized_scores
from llama_index_ko_rerank.retrieve.hybrid import Fusion, HybridRetriever

_STEPS = 20
_RRF_K = 60
_STANDARD_ERRORS = 1.96  # on each side of a 95 % interval
METRICS = ("hit@1", "mrr@10", "ndcg@10")


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """Weights for a `HybridRetriever`, and what they gained on questions that they were not fitted on.

    Attributes:
        weights: By retriever, summing to 1; 0 for a retriever that should be dropped.
        fusion: The fusion that they belong to.
        normalizations: The normalisation of each retriever, for ``convex``.
        metric: What was maximised.
        best_retriever: The retriever that is best alone.
        gain: The metric of the fitted hybrid less that of the best retriever, over held-out questions, with a 95 %
            interval.
        dropped: The retrievers of weight 0. Where the hybrid did not gain for certain, all retrievers but the best.
        questions: How many questions there were.
    """

    weights: dict[str, float]
    fusion: Fusion
    normalizations: dict[str, Normalization]
    metric: str
    best_retriever: str
    gain: Interval
    questions: int
    dropped: tuple[str, ...] = field(default=())

    def retriever(self, retrievers: Mapping[str, BaseRetriever], *, similarity_top_k: int = 10) -> HybridRetriever:
        """Make the hybrid that was fitted, over these retrievers."""
        return HybridRetriever(
            retrievers,
            weights=self.weights,
            fusion=self.fusion,
            normalizations=self.normalizations,
            similarity_top_k=similarity_top_k,
        )


def fit_weights(
    retrievers: Mapping[str, BaseRetriever],
    dev_set: RetrievalDataset,
    *,
    metric: str = "mrr@10",
    fusion: Fusion = "convex",
    normalizations: Mapping[str, Normalization] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> FittedWeights:
    """Fit the weight of each retriever on questions whose passages are known.

    Every retriever searches for every question once. Weights come from a grid (steps of 1/20 for two retrievers; for
    more, one at a time against the others until nothing changes). Of equal weights those with the most on the best
    retriever are taken. The gain is measured by cross-validation over passages: the questions on one passage are all
    fitted on or all held out. Where the gain on held-out questions is not above its standard error, the best retriever
    gets all the weight: a few dozen questions cannot tell a small gain from luck. Source: the one-standard-error rule
    of Breiman et al., "Classification and Regression Trees", 1984.

    Args:
        retrievers: The retrievers by name; each as deep as it will be in use.
        dev_set: At least `folds` passages with questions. The retrievers must search its collection under its passage
            ids.
        metric: ``hit@1``, ``mrr@10`` or ``ndcg@10``.
        fusion: ``convex`` or ``rrf``.
        normalizations: By retriever, for ``convex``; defaults to the hybrid's.
        folds: How many parts cross-validation makes, 2 or more.
        seed: Of the parts and the interval.

    Raises:
        InvalidSetting: There are fewer than two retrievers, or a name or number is out of range.
        EmptyCorpus: There are too few questions to hold some out.
    """
    if metric not in METRICS:
        raise InvalidSetting(f"no metric is called {metric!r}; {nearest(metric, METRICS)}")
    if len(retrievers) < 2 or folds < 2:
        raise InvalidSetting(f"fitting needs 2 retrievers and 2 folds or more, not {len(retrievers)} and {folds}")
    hybrid = HybridRetriever(retrievers, fusion=fusion, normalizations=normalizations)
    questions = _Questions([_evidence(question, hybrid) for question in dev_set.questions], metric)
    parts = group_folds(dev_set.questions, folds, seed)
    singles = np.eye(len(retrievers))
    alone = [questions.values(single) for single in singles]
    best = int(np.argmax([values.mean() for values in alone]))
    held_out = np.zeros(len(dev_set.questions))
    for part in parts:
        weights = _search(questions, ~part, best)
        held_out[part] = questions.values(weights)[part]
    gain = paired_difference(held_out, alone[best], seed=seed)
    everything = np.ones(len(dev_set.questions), bool)
    standard_error = (gain.high - gain.low) / (2 * _STANDARD_ERRORS)
    fitted = _search(questions, everything, best) if gain.value > standard_error else singles[best]
    names = list(retrievers)
    return FittedWeights(
        weights={name: round(float(weight), 4) for name, weight in zip(names, fitted, strict=True)},
        fusion=fusion,
        normalizations=hybrid.normalizations,
        metric=metric,
        best_retriever=names[best],
        gain=gain,
        questions=len(dev_set.questions),
        dropped=tuple(name for name, weight in zip(names, fitted, strict=True) if weight == 0),
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """One question: the score by each retriever of each passage that any of them found, and which passages answer it.

    Attributes:
        scores: float64 of shape (passages found, retrievers), normalised, in first-seen order.
        relevant: bool of shape (passages found,).
        answers: How many passages answer the question in all.
    """

    scores: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    answers: int


class _Questions:
    """All questions under one metric."""

    def __init__(self, evidence: Sequence[_Evidence], metric: str) -> None:
        self.evidence = evidence
        self.metric = metric

    def values(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measure every question for one setting of the weights."""
        return np.array([self._value(evidence, weights) for evidence in self.evidence])

    def _value(self, evidence: _Evidence, weights: NDArray[np.float64]) -> float:
        order = np.argsort(-(evidence.scores @ weights), kind="stable")[:10]
        hits = np.flatnonzero(evidence.relevant[order])
        if not len(hits):
            return 0.0
        if self.metric == "hit@1":
            return float(hits[0] == 0)
        if self.metric == "mrr@10":
            return 1.0 / (1 + float(hits[0]))
        ideal = 1 / np.log2(np.arange(min(evidence.answers, 10)) + 2)
        return float((1 / np.log2(hits + 2)).sum() / ideal.sum())


def _evidence(question: Question, hybrid: HybridRetriever) -> _Evidence:
    columns: list[tuple[dict[str, float], float]] = []
    for name, retriever in hybrid.retrievers.items():
        found: dict[str, float] = {}
        for result in retriever.retrieve(QueryBundle(question.text)):
            found.setdefault(result.node.node_id, float(result.score or 0.0))
        if hybrid.fusion == "rrf":
            columns.append(({identity: 1 / (_RRF_K + rank) for rank, identity in enumerate(found, start=1)}, 0.0))
        else:
            columns.append(normalized_scores(found, hybrid.normalizations[name]))
    ids = list(dict.fromkeys(identity for scores, _ in columns for identity in scores))
    matrix = np.array([[scores.get(identity, absent) for scores, absent in columns] for identity in ids])
    relevant = np.array([identity in question.passage_ids for identity in ids], bool)
    return _Evidence(matrix.reshape(len(ids), len(columns)), relevant, len(question.passage_ids))


def group_folds(questions: Sequence[Question], folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Divide the questions so that those on one passage stay together."""
    passages = list(dict.fromkeys(question.passage_ids[0] for question in questions))
    if len(passages) < folds:
        raise EmptyCorpus(f"{folds} folds need questions on {folds} passages or more, not on {len(passages)}")
    order = np.random.default_rng(seed).permutation(len(passages))
    fold_of = {passages[index]: number % folds for number, index in enumerate(order)}
    folds_of = np.array([fold_of[question.passage_ids[0]] for question in questions])
    return [folds_of == fold for fold in range(folds)]


def _search(questions: _Questions, chosen: NDArray[np.bool_], best: int) -> NDArray[np.float64]:
    """Find the best weights on the chosen questions, starting from the best retriever alone."""
    weights: NDArray[np.float64] = np.eye(questions.evidence[0].scores.shape[1])[best]
    value = questions.values(weights)[chosen].mean()
    improved = True
    while improved:
        improved = False
        for retriever, step in product(range(len(weights)), range(_STEPS + 1)):
            candidate = weights.copy()
            candidate[retriever] = 0.0
            rest = candidate.sum()
            if rest == 0:
                continue
            share = step / _STEPS
            candidate = candidate / rest * (1 - share)
            candidate[retriever] = share
            if not candidate.any():
                continue
            result = questions.values(candidate)[chosen].mean()
            if result > value + 1e-9:
                weights, value, improved = candidate, result, True
    return weights
