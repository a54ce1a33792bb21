"""Fusion of the results of several retrievers: pure functions over ids and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, nearest

Normalization = Literal["max", "min-max", "z-score"]


class FusedHit(NamedTuple):
    """An id with its fused score."""

    id: str
    score: float


def _by_max(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    top = scores.max()
    return scores / top if top > 0 else np.zeros_like(scores)


def _by_range(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _by_deviation(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    # Equal scores are found by comparison: rounding may leave them a deviation of 1e-17.
    spread = scores.std() if scores.max() > scores.min() else 0.0
    return (scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores)


NORMALIZATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "max": _by_max,
    "min-max": _by_range,
    "z-score": _by_deviation,
}
"""Normalisations, which bring the scores of one retriever for one query to a common scale.

- ``max``: divided by the largest (all 0 where that is not above 0). For scores with a meaningful zero, as BM25 has.
- ``min-max``: from the lowest at 0 to the largest at 1 (all 1 where they are equal). Lee, "Analyses of multiple
  evidence combination", SIGIR 1997.
- ``z-score``: mean 0, standard deviation 1 (all 0 where they are equal). Renda and Straccia, "Web metasearch: rank vs.
  score based rank aggregation methods", SAC 2003.
"""


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]], *, weights: Sequence[float] | None = None, k: int = 60
) -> list[FusedHit]:
    """Merge ranked id lists by summing weight / (k + rank), rank counted from 1.

    Args:
        rankings: One list of ids per retriever, best first, no repeats.
        weights: One per list, >= 0. Defaults to 1 each. A list of weight 0 adds nothing, not even its ids.
        k: How little the first ranks stand out, >= 0.

    Returns:
        Every id once, best first; equal sums keep first-seen order, the first list's before the second's.

    Raises:
        InvalidSetting: A list repeats an id, the weights do not match the lists, or k is negative.

    Source: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet", SIGIR 2009; weights as in
    Elasticsearch's weighted RRF.

    >>> reciprocal_rank_fusion([["a", "b"], ["b", "c"]], k=0)
    [FusedHit(id='b', score=1.5), FusedHit(id='a', score=1.0), FusedHit(id='c', score=0.5)]
    """
    if k < 0:
        raise InvalidSetting(f"k must be 0 or more, not {k}")
    sums: dict[str, float] = {}
    for weight, ids in zip(check_weights(weights, len(rankings)), rankings, strict=True):
        _refuse_repeats(ids)
        if weight:
            for rank, identity in enumerate(ids, start=1):
                sums[identity] = sums.get(identity, 0.0) + weight / (k + rank)
    return _best_first(sums)


def convex_combination(
    scores: Sequence[Mapping[str, float]],
    *,
    weights: Sequence[float] | None = None,
    normalizations: Sequence[Normalization] | Normalization = "min-max",
) -> list[FusedHit]:
    """Merge scored id lists by the weighted mean of their normalised scores.

    Args:
        scores: One mapping of id to score per retriever, best first. An id missing from a mapping gets the lowest
            normalised score there: 0, or for ``z-score`` the lowest of the list.
        weights: One per mapping, >= 0, made to sum to 1. Defaults to equal. A mapping of weight 0 adds nothing, not
            even ids.
        normalizations: One name for all mappings, or one each; see `NORMALIZATIONS`.

    Returns:
        Every id once, best first; equal scores keep first-seen order, the first list's before the second's.

    Raises:
        InvalidSetting: The weights or normalisations do not match the mappings, or a name is unknown.

    Source: Bruch, Gai, Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023, who find it better
    than RRF wherever a few questions are there to fit the weights.

    >>> convex_combination([{"a": 4.0, "b": 2.0}, {"b": 9.0}], weights=[3, 1], normalizations="max")
    [FusedHit(id='a', score=0.75), FusedHit(id='b', score=0.625)]
    """
    names = [normalizations] * len(scores) if isinstance(normalizations, str) else list(normalizations)
    if len(names) != len(scores):
        raise InvalidSetting(f"{len(scores)} retrievers need as many normalisations, not {len(names)}")
    shares = np.asarray(check_weights(weights, len(scores)), float)
    parts = zip((shares / shares.sum()).tolist(), scores, names, strict=True)
    scaled = [(share, normalized_scores(raw, name)) for share, raw, name in parts if share]
    sums = {identity: 0.0 for _, (by_id, _) in scaled for identity in by_id}
    for share, (by_id, absent) in scaled:
        for identity in sums:
            sums[identity] += share * by_id.get(identity, absent)
    return _best_first(sums)


def check_weights(weights: Sequence[float] | None, retrievers: int) -> list[float]:
    """Return one weight per retriever; `weights` defaults to 1 each.

    Raises:
        InvalidSetting: There are more or fewer weights than retrievers, one is negative or no number, or all are 0.
    """
    if retrievers < 1:
        raise InvalidSetting("at least one retriever is needed")
    if weights is None:
        return [1.0] * retrievers
    if len(weights) != retrievers:
        raise InvalidSetting(f"{retrievers} retrievers need as many weights, not {len(weights)}")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InvalidSetting(f"weights must be 0 or more and not all 0, not {list(weights)}")
    return [float(weight) for weight in weights]


def check_normalization(name: str) -> None:
    """Raise `InvalidSetting` if no normalisation has this name."""
    if name not in NORMALIZATIONS:
        raise InvalidSetting(f"no normalisation is called {name!r}; {nearest(name, NORMALIZATIONS)}")


def normalized_scores(scores: Mapping[str, float], name: str) -> tuple[dict[str, float], float]:
    """Normalise the scores of one retriever for one query; see `NORMALIZATIONS`.

    Returns:
        The normalised scores by id, and the score of an id that the retriever did not return.
    """
    check_normalization(name)
    if not scores:
        return {}, 0.0
    values = NORMALIZATIONS[name](np.fromiter(scores.values(), float, len(scores)))
    absent = float(values.min()) if name == "z-score" else 0.0
    return dict(zip(scores, values.tolist(), strict=True)), absent


def _best_first(sums: Mapping[str, float]) -> list[FusedHit]:
    return [FusedHit(identity, score) for identity, score in sorted(sums.items(), key=lambda item: -item[1])]


def _refuse_repeats(ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        repeated = next(identity for identity in ids if list(ids).count(identity) > 1)
        raise InvalidSetting(f"a ranking holds {repeated!r} twice")
