"""New nodes in a new order, from old nodes and their new scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llama_index.core.schema import NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.ranked_node import LegHit, RankedNode, legs_of


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn logits into probabilities in 0-1, in float64 so that large logits stay apart, and without overflow.

    >>> sigmoid(np.array([0.0, -np.inf, 800.0])).tolist()
    [0.5, 0.0, 1.0]
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def reordered(
    nodes: Sequence[NodeWithScore],
    scores: NDArray[np.float64],
    *,
    top_n: int,
    threshold: float | None = None,
    keep_retrieval_score: bool = False,
) -> list[NodeWithScore]:
    """Return the best nodes as new objects that carry the new scores; the old ones are left as they are.

    Args:
        nodes: The candidates, in the order of the first stage.
        scores: One a node, larger is better.
        top_n: How many at most.
        threshold: Nodes that score lower are left out.
        keep_retrieval_score: Whether the first stage's rank and score are kept as the leg ``retrieval``.

    Returns:
        Best first; equal scores keep the incoming order.
    """
    order = np.argsort(-scores, kind="stable")
    if threshold is not None:
        order = order[scores[order] >= threshold]
    return [
        _rescored(nodes[place], float(scores[place]), int(place) + 1 if keep_retrieval_score else None)
        for place in order[:top_n]
    ]


def _rescored(found: NodeWithScore, score: float, retrieval_rank: int | None) -> NodeWithScore:
    if retrieval_rank is None:
        return found.model_copy(update={"score": score})
    before = LegHit(rank=retrieval_rank, score=float(found.score or 0.0))
    return RankedNode(node=found.node, score=score, legs={**legs_of(found), "retrieval": before})
