"""The logits of a question's passages, worked out in steps between which the model runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import UnsuitableModel
from llama_index_ko_rerank.rerank.forward import Forward
from llama_index_ko_rerank.rerank.labels import label_logits
from llama_index_ko_rerank.rerank.micro_batching import ForwardQueue, Logits
from llama_index_ko_rerank.rerank.passage_pairs import PairMaker
from llama_index_ko_rerank.rerank.score_cache import PassageScore, ScoreCache, best_window
from llama_index_ko_rerank.rerank.screen import Final, Margin, first_places, in_reach
from llama_index_ko_rerank.rerank.token_pairs import TokenPair
from llama_index_ko_rerank.rerank.windows import Span
from llama_index_ko_rerank.text.normalize import normalize


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a model said of a question's passages, in the order given.

    Attributes:
        logits: Shape (passages,), larger is better.
        exact: Which of them have the logit that counts; the others were only screened and are not among the first.
        spans: The characters of each passage's best window, in the normalised text; None where all of it was read.
    """

    logits: NDArray[np.float64]
    exact: NDArray[np.bool_]
    spans: tuple[Span | None, ...]


class Ask(NamedTuple):
    """A forward that is needed before the next step."""

    forward: Forward
    pairs: Sequence[TokenPair]


Scores = dict[str, PassageScore]
Steps = Generator[Ask, Logits, Judgement]


class Judge:
    """Knows how the passages of a question get their logits: from memory, by one forward, or screened by another.

    Safe from several threads; each question has steps of its own.

    Args:
        model_name: For errors.
        maker: Makes the pairs.
        label: Which of the model's labels counts.
        exact: The forward whose logits are returned.
        quick: One that is cheaper, by which candidates are screened; None where all are computed exactly.
    """

    def __init__(
        self, model_name: str, maker: PairMaker, *, label: int, exact: Forward, quick: Forward | None = None
    ) -> None:
        self._model_name = model_name
        self._maker = maker
        self._label = label
        self._exact = exact
        self._quick = quick
        self._cache = ScoreCache()
        self._margin = Margin()

    def steps(self, query: str, texts: Sequence[str], *, top_n: int | None, final: Final) -> Steps:
        """Work out the logits of passages; those that are equal in their normal form are read once.

        Args:
            query: The question.
            texts: The passages.
            top_n: How many first places there are; None where every logit counts.
            final: What the passages are ordered by.

        Raises:
            UnsuitableModel: The model gives NaN or infinity for a passage.
            InvalidText: A text holds lone surrogates.
        """
        question, passages = normalize(query), [normalize(text) for text in texts]
        if self._quick is None or top_n is None or top_n >= len(passages):
            scores, _ = yield from self._scores(self._exact, question, passages)
        else:
            scores = yield from self._screened(question, passages, top_n, final)
        judged = [scores[passage] for passage in passages]
        exact = np.array([not math.isnan(score.logit) for score in judged], bool)
        return Judgement(np.array([score.logit for score in judged]), exact, tuple(score.span for score in judged))

    def forget(self) -> None:
        """Forget all texts and scores, not what was learnt of the screen's margin."""
        self._cache.forget()
        self._maker.forget()

    def _scores(
        self, forward: Forward, question: str, passages: Sequence[str]
    ) -> Generator[Ask, Logits, tuple[Scores, Scores]]:
        """Return the scores of passages, and those of them that were not known before."""
        known = self._cache.known(question, passages, forward.dtype)
        missing = [passage for passage in dict.fromkeys(passages) if passage not in known]
        if not missing:
            return known, {}
        made = self._maker.pairs(question, missing)
        logits = label_logits((yield Ask(forward, [pair for passage in made for pair in passage.pairs])), self._label)
        new: Scores = {}
        start = 0
        for passage, its in zip(missing, made, strict=True):
            part = logits[start : start + len(its.pairs)]
            start += len(its.pairs)
            self._check(part, passage)
            new[passage] = best_window(part, its.spans)
        self._cache.keep(question, new, forward.dtype)
        return known | new, new

    def _screened(
        self, question: str, passages: Sequence[str], top_n: int, final: Final
    ) -> Generator[Ask, Logits, Scores]:
        """Return exact scores for all passages that may be among the first, and NaN for the others."""
        assert self._quick is not None
        rough, _ = yield from self._scores(self._quick, question, passages)
        quick = np.array([rough[passage].logit for passage in passages])
        width = self._margin.width
        places = first_places(final(quick), len(quick) if math.isinf(width) else top_n)
        scores = dict.fromkeys(passages, PassageScore(math.nan, None))
        while len(places):
            exact, new = yield from self._scores(self._exact, question, [passages[place] for place in places])
            scores |= exact
            self._margin.learn(np.array([score.logit - rough[passage].logit for passage, score in new.items()]))
            logits = np.array([scores[passage].logit for passage in passages])
            places = in_reach(quick, logits, width=width, top_n=top_n, final=final)
        return scores

    def _check(self, logits: NDArray[np.float64], passage: str) -> None:
        if not np.isfinite(logits).all():
            broken = logits[~np.isfinite(logits)][0]
            raise UnsuitableModel(f"{self._model_name!r} gives the logit {broken} for the passage {passage[:60]!r}")


def drive(steps: Steps, queue: ForwardQueue) -> Judgement:
    """Go through the steps of a question, waiting for each forward."""
    logits: Logits | None = None
    while True:
        step = _next_step(steps, logits)
        if isinstance(step, Judgement):
            return step
        future = queue.submit(step.forward, step.pairs)
        try:
            logits = future.result()
        finally:
            future.cancel()  # an interrupted caller waits for nothing any more


async def drive_async(steps: Steps, queue: ForwardQueue) -> Judgement:
    """Go through the steps of a question, each in a thread, without holding up the event loop or a thread in between.

    Where the caller is cancelled, a forward that has not begun is not computed.
    """
    logits: Logits | None = None
    while True:
        step = await asyncio.to_thread(_next_step, steps, logits)
        if isinstance(step, Judgement):
            return step
        logits = await asyncio.wrap_future(queue.submit(step.forward, step.pairs))


def _next_step(steps: Steps, logits: Logits | None) -> Ask | Judgement:
    try:
        return next(steps) if logits is None else steps.send(logits)
    except StopIteration as finished:
        judgement: Judgement = finished.value
        return judgement
