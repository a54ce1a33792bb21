"""Which candidates a cheap, slightly wrong logit leaves in reach of the first places."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CALIBRATION = 120
"""How many differences are measured before anything is left out: four questions of 30 candidates."""

DEVIATIONS = 3.0
"""The margin, in root mean squares of the differences. A normal error is beyond it once in 740 times on one side; only
a candidate that stands just below the margin is lost by that: with 30 of them, in about one question of 1,000."""

_MEMORY = 4_000

Final = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Turns the logits of all candidates into what they are ordered by: each number grows with its own logit only."""


class Margin:
    """How far a logit in 16 bits may be from the one in 32 bits, learnt from those that were computed in both.

    The margin is three root mean squares of the differences, and endless until 120 of them were seen, so that the first
    questions are scored in 32 bits throughout. It goes on learning; the older half of its memory of 4,000 differences
    counts half. Safe from several threads.
    """

    def __init__(self) -> None:
        self._squares = 0.0
        self._count = 0.0
        self._lock = threading.Lock()

    @property
    def width(self) -> float:
        """The margin, on the scale of the logits."""
        with self._lock:
            return DEVIATIONS * math.sqrt(self._squares / self._count) if self._count >= CALIBRATION else math.inf

    def learn(self, differences: NDArray[np.float64]) -> None:
        """Take in the differences of some passages' logits."""
        with self._lock:
            self._squares += float(np.square(differences).sum())
            self._count += len(differences)
            if self._count > _MEMORY:
                self._squares, self._count = self._squares / 2, self._count / 2


def first_places(scores: NDArray[np.float64], top_n: int) -> NDArray[np.int64]:
    """Return the places of the largest scores, best first; of equal ones the earlier.

    >>> first_places(np.array([1.0, 3.0, 3.0]), 2).tolist()
    [1, 2]
    """
    return np.argsort(-scores, kind="stable")[:top_n]


def in_reach(
    quick: NDArray[np.float64], exact: NDArray[np.float64], *, width: float, top_n: int, final: Final
) -> NDArray[np.int64]:
    """Find the candidates that may belong to the first `top_n` though their exact logit is not known.

    Args:
        quick: The cheap logit of each candidate.
        exact: The exact one, NaN where it is not known; known for `top_n` candidates at least.
        width: How far an exact logit may be above the cheap one.
        top_n: How many first places there are.
        final: What the candidates are ordered by.

    Returns:
        Places, ascending: those with a cheap logit that, were it higher by `width`, would reach the last of the first
        `top_n` exact ones.

    >>> exact = np.array([2.0, 1.0, np.nan, np.nan])
    >>> in_reach(np.array([2.1, 1.1, 0.9, 0.2]), exact, width=0.3, top_n=2, final=lambda logits: logits).tolist()
    [2]
    """
    known = ~np.isnan(exact)
    scores = final(np.where(known, exact, quick + width))
    last = np.sort(scores[known])[-top_n]
    return np.flatnonzero(~known & (scores >= last))
