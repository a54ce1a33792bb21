"""What a model said of the passages of earlier questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.bounded_cache import BoundedCache, text_hash
from llama_index_ko_rerank.rerank.forward import Dtype
from llama_index_ko_rerank.rerank.windows import Span

KEPT_SCORES = 50_000
"""How many scores are remembered: 30 candidates of 1,600 questions, about 20 MB."""


class PassageScore(NamedTuple):
    """What a model said of one passage.

    Attributes:
        logit: That of its best window.
        span: The characters of that window; None where the whole passage was read.
    """

    logit: float
    span: Span | None


class ScoreCache:
    """The scores of passages by question, passage and dtype, those of one scorer; safe from several threads."""

    def __init__(self) -> None:
        self._held: BoundedCache[tuple[bytes, bytes, Dtype], PassageScore] = BoundedCache(KEPT_SCORES)

    def known(self, question: str, passages: Sequence[str], dtype: Dtype) -> dict[str, PassageScore]:
        """Return the scores that are held, by passage."""
        asked = text_hash(question)
        found = ((passage, self._held.get((asked, text_hash(passage), dtype))) for passage in passages)
        return {passage: score for passage, score in found if score is not None}

    def keep(self, question: str, scores: dict[str, PassageScore], dtype: Dtype) -> None:
        """Hold the scores of passages."""
        asked = text_hash(question)
        for passage, score in scores.items():
            self._held.put((asked, text_hash(passage), dtype), score)

    def forget(self) -> None:
        """Forget all scores."""
        self._held.clear()


def best_window(logits: NDArray[np.float64], spans: Sequence[Span | None]) -> PassageScore:
    """Return the largest logit of a passage's windows with its window; of equal ones the first.

    >>> best_window(np.array([0.5, 2.0]), [(0, 90), (80, 150)])
    PassageScore(logit=2.0, span=(80, 150))
    """
    best = int(np.argmax(logits))
    return PassageScore(float(logits[best]), spans[best])
