"""The logits of a question's passages, worked out in steps between which the model runs."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.forward.backend import Dtype, ScoringBackend
from llama_index_ko_rerank.forward.batches import TokenPair
from llama_index_ko_rerank.rerank.cross_encoder.batching import ForwardQueue, Logits
from llama_index_ko_rerank.rerank.cross_encoder.loading import label_logits
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import PairEncoder
from llama_index_ko_rerank.rerank.lru_cache import LRUCache, text_hash
from llama_index_ko_rerank.rerank.nodes import Span
from llama_index_ko_rerank.text.normalize import normalize

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
        self._held: LRUCache[tuple[bytes, bytes, Dtype], PassageScore] = LRUCache(KEPT_SCORES)

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

    def clear_cache(self) -> None:
        """Forget all scores."""
        self._held.clear()


def best_window(logits: NDArray[np.float64], spans: Sequence[Span | None]) -> PassageScore:
    """Return the largest logit of a passage's windows with its window; of equal ones the first.

    >>> best_window(np.array([0.5, 2.0]), [(0, 90), (80, 150)])
    PassageScore(logit=2.0, span=(80, 150))
    """
    best = int(np.argmax(logits))
    return PassageScore(float(logits[best]), spans[best])


CALIBRATION = 120
"""How many differences are measured before anything is left out: four questions of 30 candidates."""

DEVIATIONS = 3.0
"""The margin, in root mean squares of the differences. A normal error is beyond it once in 740 times on one side; only
a candidate that stands just below the margin is lost by that: with 30 of them, in about one question of 1,000."""

_MEMORY = 4_000

ScoreTransform = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Turns the logits of all candidates into what they are ordered by: each number grows with its own logit only."""


class ErrorBound:
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


def top_k_indices(scores: NDArray[np.float64], top_n: int) -> NDArray[np.int64]:
    """Return the places of the largest scores, best first; of equal ones the earlier.

    >>> top_k_indices(np.array([1.0, 3.0, 3.0]), 2).tolist()
    [1, 2]
    """
    return np.argsort(-scores, kind="stable")[:top_n]


def needs_rescoring(
    quick: NDArray[np.float64], exact: NDArray[np.float64], *, width: float, top_n: int, transform: ScoreTransform
) -> NDArray[np.int64]:
    """Find the candidates that may belong to the first `top_n` though their exact logit is not known.

    Args:
        quick: The cheap logit of each candidate.
        exact: The exact one, NaN where it is not known; known for `top_n` candidates at least.
        width: How far an exact logit may be above the cheap one.
        top_n: How many first places there are.
        transform: What the candidates are ordered by.

    Returns:
        Places, ascending: those with a cheap logit that, were it higher by `width`, would reach the last of the first
        `top_n` exact ones.

    >>> exact = np.array([2.0, 1.0, np.nan, np.nan])
    >>> quick = np.array([2.1, 1.1, 0.9, 0.2])
    >>> needs_rescoring(quick, exact, width=0.3, top_n=2, transform=lambda logits: logits).tolist()
    [2]
    """
    known = ~np.isnan(exact)
    scores = transform(np.where(known, exact, quick + width))
    last = np.sort(scores[known])[-top_n]
    return np.flatnonzero(~known & (scores >= last))


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPassages:
    """What a model said of a question's passages, in the order given.

    Attributes:
        logits: Shape (passages,), larger is better.
        exact: Which of them have the logit that counts; the others were read by the quick forward only and are not
            among the first.
        spans: The characters of each passage's best window, in the normalised text; None where all of it was read.
    """

    logits: NDArray[np.float64]
    exact: NDArray[np.bool_]
    spans: tuple[Span | None, ...]


class ForwardRequest(NamedTuple):
    """A forward that is needed before the next step."""

    forward: ScoringBackend
    pairs: Sequence[TokenPair]


Scores = dict[str, PassageScore]
ScoringSteps = Generator[ForwardRequest, Logits, ScoredPassages]


class PairScoringPipeline:
    """Steps from the passages of a question to their logits: from the cache, by one forward, or by a cascade of two.

    Safe from several threads; each question has steps of its own.

    Args:
        model_name: For errors.
        maker: Makes the pairs.
        label: Which of the model's labels counts.
        exact: The forward whose logits are returned.
        quick: One that is cheaper, by which a cascade chooses what is computed exactly. Defaults to none.
    """

    def __init__(
        self,
        model_name: str,
        maker: PairEncoder,
        *,
        label: int,
        exact: ScoringBackend,
        quick: ScoringBackend | None = None,
    ) -> None:
        self._model_name = model_name
        self._maker = maker
        self._label = label
        self._exact = exact
        self._quick = quick
        self._cache = ScoreCache()
        self._error_bound = ErrorBound()

    def steps(self, query: str, texts: Sequence[str], *, top_n: int | None, transform: ScoreTransform) -> ScoringSteps:
        """Work out the logits of passages; those that are equal in their normal form are read once.

        Args:
            query: The question.
            texts: The passages.
            top_n: How many first places there are; None where every logit counts.
            transform: What the passages are ordered by.

        Raises:
            UnsuitableModel: The model gives NaN or infinity for a passage.
            InvalidText: A text holds lone surrogates.
        """
        question, passages = normalize(query), [normalize(text) for text in texts]
        if self._quick is None or top_n is None or top_n >= len(passages):
            scores, _ = yield from self._scores(self._exact, question, passages)
        else:
            scores = yield from self._cascaded(question, passages, top_n, transform)
        judged = [scores[passage] for passage in passages]
        exact = np.array([not math.isnan(score.logit) for score in judged], bool)
        return ScoredPassages(np.array([score.logit for score in judged]), exact, tuple(score.span for score in judged))

    def clear_cache(self) -> None:
        """Forget all texts and scores, not the cascade's error bound."""
        self._cache.clear_cache()
        self._maker.clear_cache()

    def _scores(
        self, forward: ScoringBackend, question: str, passages: Sequence[str]
    ) -> Generator[ForwardRequest, Logits, tuple[Scores, Scores]]:
        """Return the scores of passages, and those of them that were not known before."""
        known = self._cache.known(question, passages, forward.dtype)
        missing = [passage for passage in dict.fromkeys(passages) if passage not in known]
        if not missing:
            return known, {}
        made = self._maker.pairs(question, missing)
        logits = label_logits(
            (yield ForwardRequest(forward, [pair for passage in made for pair in passage.pairs])), self._label
        )
        new: Scores = {}
        start = 0
        for passage, its in zip(missing, made, strict=True):
            part = logits[start : start + len(its.pairs)]
            start += len(its.pairs)
            self._check(part, passage)
            new[passage] = best_window(part, its.spans)
        self._cache.keep(question, new, forward.dtype)
        return known | new, new

    def _cascaded(
        self, question: str, passages: Sequence[str], top_n: int, transform: ScoreTransform
    ) -> Generator[ForwardRequest, Logits, Scores]:
        """Return exact scores for all passages that may be among the first, and NaN for the others."""
        assert self._quick is not None
        rough, _ = yield from self._scores(self._quick, question, passages)
        quick = np.array([rough[passage].logit for passage in passages])
        width = self._error_bound.width
        places = top_k_indices(transform(quick), len(quick) if math.isinf(width) else top_n)
        scores = dict.fromkeys(passages, PassageScore(math.nan, None))
        while len(places):
            exact, new = yield from self._scores(self._exact, question, [passages[place] for place in places])
            scores |= exact
            self._error_bound.learn(np.array([score.logit - rough[passage].logit for passage, score in new.items()]))
            logits = np.array([scores[passage].logit for passage in passages])
            places = needs_rescoring(quick, logits, width=width, top_n=top_n, transform=transform)
        return scores

    def _check(self, logits: NDArray[np.float64], passage: str) -> None:
        if not np.isfinite(logits).all():
            broken = logits[~np.isfinite(logits)][0]
            raise UnsuitableModel(f"{self._model_name!r} gives the logit {broken} for the passage {passage[:60]!r}")


def run_sync(steps: ScoringSteps, queue: ForwardQueue) -> ScoredPassages:
    """Go through the steps of a question, waiting for each forward."""
    logits: Logits | None = None
    while True:
        step = _next_step(steps, logits)
        if isinstance(step, ScoredPassages):
            return step
        future = queue.submit(step.forward, step.pairs)
        try:
            logits = future.result()
        finally:
            future.cancel()  # an interrupted caller waits for nothing any more


async def run_async(steps: ScoringSteps, queue: ForwardQueue) -> ScoredPassages:
    """Go through the steps of a question, each in a thread, without holding up the event loop or a thread in between.

    Where the caller is cancelled, a forward that has not begun is not computed.
    """
    logits: Logits | None = None
    while True:
        step = await asyncio.to_thread(_next_step, steps, logits)
        if isinstance(step, ScoredPassages):
            return step
        logits = await asyncio.wrap_future(queue.submit(step.forward, step.pairs))


def _next_step(steps: ScoringSteps, logits: Logits | None) -> ForwardRequest | ScoredPassages:
    try:
        return next(steps) if logits is None else steps.send(logits)
    except StopIteration as finished:
        scored: ScoredPassages = finished.value
        return scored
