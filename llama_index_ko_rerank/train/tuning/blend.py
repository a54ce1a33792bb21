"""Fitting how much the first stage still counts beside a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.nodes import interpolate_scores

_SHARES = np.linspace(0.95, 0.0, 20)
"""The shares of the first stage that are tried, the largest first: of equally good ones it is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class BlendExample:
    """The candidates of one question, as both stages see them.

    Attributes:
        retrieval: The first stage's scores, shape (candidates,).
        probabilities: The cross-encoder's, 0-1, in the same order.
        relevant: The places of those that answer the question; may be empty.
    """

    retrieval: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    relevant: tuple[int, ...]

    def reciprocal_rank(self, share: float) -> float:
        """Return 1 / rank of the first answer among the first ten, 0 where there is none."""
        scores = interpolate_scores(self.retrieval, self.probabilities, retrieval_weight=share)
        first = np.argsort(-scores, kind="stable")[:10]
        hits = np.flatnonzero(np.isin(first, self.relevant))
        return 1.0 / (1 + int(hits[0])) if len(hits) else 0.0


def blend_example(
    question: str, found: Sequence[NodeWithScore], relevant: tuple[int, ...], reranker: BaseNodePostprocessor
) -> BlendExample:
    """Ask a reranker about the candidates of a question.

    Args:
        question: The question.
        found: Its candidates, best first.
        relevant: The places of those that answer it.
        reranker: One whose scores are probabilities and that returns all candidates.
    """
    judged = reranker.postprocess_nodes(list(found), query_bundle=QueryBundle(question))
    probabilities = {hit.node.node_id: float(hit.score or 0.0) for hit in judged}
    return BlendExample(
        np.array([float(hit.score or 0.0) for hit in found]),
        np.array([probabilities[hit.node.node_id] for hit in found]),
        relevant,
    )


def best_share(examples: Sequence[BlendExample]) -> float:
    """Find the share of the first stage with the highest MRR@10, in steps of 1/20; of equal ones the largest."""
    means = [np.mean([example.reciprocal_rank(share) for example in examples]) for share in _SHARES]
    return round(float(_SHARES[int(np.argmax(means))]), 2)


def held_out_values(examples: Sequence[BlendExample], parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Return each question's reciprocal rank with the share that is best on the parts that it is not in."""
    values = np.zeros(len(examples))
    for part in parts:
        share = best_share([example for example, is_out in zip(examples, part, strict=True) if not is_out])
        for place in np.flatnonzero(part).tolist():
            values[place] = examples[place].reciprocal_rank(share)
    return values
