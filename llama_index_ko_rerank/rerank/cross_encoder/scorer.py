"""Pairs to logits: a cross-encoder that is loaded once and shared."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from transformers import PreTrainedModel

from llama_index_ko_rerank.errors import InvalidSetting, ModelError
from llama_index_ko_rerank.forward.backend import Dtype, ScoringBackend, make_backend
from llama_index_ko_rerank.forward.precision import prefers_bfloat16
from llama_index_ko_rerank.rerank.cross_encoder.batching import ForwardQueue
from llama_index_ko_rerank.rerank.cross_encoder.loading import (
    ScorerSettings,
    label_index,
    load_cross_encoder,
    longest_input,
    model_labels,
)
from llama_index_ko_rerank.rerank.cross_encoder.scoring import (
    PairScoringPipeline,
    ScoredPassages,
    ScoreTransform,
    ScoringSteps,
    run_async,
    run_sync,
)
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import WarnOnce, pair_encoder
from llama_index_ko_rerank.rerank.nodes import BlankLast
from llama_index_ko_rerank.text.normalize import check_query

__all__ = ["CrossEncoderScorer", "PairScorer", "ScorerSettings", "load_scorer"]

logger = logging.getLogger(__name__)


_home: list[int] = []


def check_not_forked() -> None:
    """Remember this process at the first call, and refuse any process that was forked from it.

    The threads of torch do not live on in a forked process, and a model there would wait for them for ever.

    Raises:
        ModelError: A model was loaded before this process was forked.
    """
    here = os.getpid()
    if not _home:
        _home.append(here)
    if _home[0] != here:
        raise ModelError(
            f"process {here} was forked from process {_home[0]} after a reranker was loaded there, and torch's threads "
            "do not outlive a fork; start workers with the method 'spawn', or load rerankers only in the workers"
        )


class PairScorer(Protocol):
    """Anything that judges how well passages answer a question."""

    def logits(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one finite logit a passage, shape (passages,), larger is better, in the order given."""
        ...


class CrossEncoderScorer:
    """A cross-encoder that judges passages; safe from several threads and from async code.

    Use `load_scorer`, which gives equal settings one and the same object. A copy or a pickle of it is the scorer of the
    same settings.

    It remembers, each up to a bound: the tokens of texts (2 million), where the sentences of long passages start, and
    what the model said (50,000 scores). A question has at most half of `max_length`; what a passage has beyond the
    rest is read in overlapping windows, of which the best one counts, or cut, as the settings say. What is cut is
    counted and logged.

    Attributes:
        settings: What it was loaded by.
        max_length: Most tokens of question and passage together.
        backend: ``unpadded`` where the model reads passages without padding, ``padded`` where its family is not known.
        dtype: What its logits are computed in: ``float32`` or ``bfloat16``.
        cascade: Whether candidates are read in bfloat16 first, and in float32 those that may be among the first.

    Raises:
        InvalidSetting: `max_length` is under 16 or beyond the model's positions, `max_batch_tokens` is under 1, or
            `label` is none of the model's, or missing where it has several.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: It has no trained classification head or generates text, or it has no vocabulary, or no pad
            token, or its files cannot be read.
        ModelError: The process was forked after a scorer was loaded.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        check_not_forked()
        if settings.max_batch_tokens is not None and settings.max_batch_tokens < 1:
            raise InvalidSetting(f"max_batch_tokens must be 1 or more, not {settings.max_batch_tokens}")
        self.settings = settings
        model = load_cross_encoder(settings)
        label = label_index(settings.model, model_labels(model), settings.label)
        self.max_length = longest_input(settings, model)
        maker = pair_encoder(
            model.tokenizer,
            max_length=self.max_length,
            overflow=settings.overflow,
            warnings=WarnOnce(logger),
        )
        exact, quick = _forwards(settings, model)
        self.backend = exact.backend
        self.dtype = exact.dtype
        self.cascade = quick is not None
        self._prompt: str = (model.prompts or {}).get(model.default_prompt_name or "") or ""
        self._pipeline = PairScoringPipeline(settings.model, maker, label=label, exact=exact, quick=quick)
        self._queue = ForwardQueue()
        dtypes = f"bfloat16, then {self.dtype}" if self.cascade else self.dtype
        logger.info("%r reads pairs %s in %s on %s", settings.model, self.backend, dtypes, model.device)

    def __reduce__(self) -> tuple[Callable[[ScorerSettings], CrossEncoderScorer], tuple[ScorerSettings]]:
        return load_scorer, (self.settings,)

    def logits(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one logit a passage, shape (passages,), in the order given; equal passages get equal ones.

        With a cascade they are those of float32.

        Raises:
            UnsuitableModel: The model gives NaN or infinity for a passage.
            InvalidText: A text holds lone surrogates.
            ModelError: The process was forked after the scorer was loaded.
        """
        return self.score(query, texts).logits

    def score(
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_n: int | None = None,
        transform: ScoreTransform = lambda logits: logits,
    ) -> ScoredPassages:
        """Return the logits of passages and the windows that they rest on.

        Args:
            query: The question.
            texts: The passages.
            top_n: How many first places matter, for a cascade. Defaults to all.
            transform: What the passages are ordered by, for a cascade: each number grows with its own logit only.

        Raises:
            As `logits`.
        """
        return run_sync(self._steps(query, texts, top_n, transform), self._queue)

    async def ascore(
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_n: int | None = None,
        transform: ScoreTransform = lambda logits: logits,
    ) -> ScoredPassages:
        """Do what `score` does without holding up the event loop; the caller may be cancelled at any moment."""
        return await run_async(self._steps(query, texts, top_n, transform), self._queue)

    def clear_cache(self) -> None:
        """Empty the caches: tokens, sentences and scores. The cascade's error bound stays."""
        self._pipeline.clear_cache()

    def _steps(self, query: str, texts: Sequence[str], top_n: int | None, transform: ScoreTransform) -> ScoringSteps:
        check_not_forked()
        return self._pipeline.steps(self._prompt + query, texts, top_n=top_n, transform=transform)


def _forwards(settings: ScorerSettings, model: CrossEncoder) -> tuple[ScoringBackend, ScoringBackend | None]:
    """Make the forward whose logits are returned, and the cascade's quick one, where there is one."""
    head = model.model
    assert head is not None
    head.train(False)

    def forward(dtype: Dtype) -> ScoringBackend:
        return make_backend(
            head,
            dtype=dtype,
            max_batch_tokens=settings.max_batch_tokens,
            pad_token_id=model.tokenizer.pad_token_id,
        )

    if settings.cascade and settings.dtype == "bfloat16":
        raise InvalidSetting("a cascade ends in float32; with dtype='bfloat16' leave cascade False")
    dtype = settings.dtype
    if dtype == "auto":
        dtype = "bfloat16" if _prefers_bfloat16(head) else "float32"
        if settings.cascade:
            return forward("float32"), forward("bfloat16") if dtype == "bfloat16" else None
    return forward(dtype), forward("bfloat16") if settings.cascade else None


def _prefers_bfloat16(head: PreTrainedModel) -> bool:
    """Return what ``auto`` chooses; a family that names no feed-forward width is timed at four times its own."""
    hidden = int(getattr(head.config, "hidden_size", 0) or 384)
    inner = int(getattr(head.config, "intermediate_size", 0) or 4 * hidden)
    return prefers_bfloat16(head.device, hidden=hidden, inner=inner)


_loaded: WeakValueDictionary[ScorerSettings, CrossEncoderScorer] = WeakValueDictionary()
_loading = threading.Lock()


def load_scorer(settings: ScorerSettings) -> CrossEncoderScorer:
    """Return the scorer of these settings, loading its model unless a scorer with equal settings is in use.

    Raises:
        As `CrossEncoderScorer`.
    """
    check_not_forked()
    with _loading:
        scorer = _loaded.get(settings)
        if scorer is None:
            scorer = CrossEncoderScorer(settings)
            _loaded[settings] = scorer
        return scorer


class RerankedText(NamedTuple):
    """A text, where it stood among the texts that were given (from 0), and the probability that it answers, 0-1."""

    position: int
    text: str
    probability: float


def rerank_texts(
    query: str, texts: Sequence[str], *, scorer: PairScorer, top_n: int | None = None
) -> list[RerankedText]:
    """Order texts by how well they answer a question.

    ::

        scorer = load_scorer(ScorerSettings("ko-mini-rerank"))
        best = rerank_texts(question, texts, scorer=scorer, top_n=3)

    Args:
        query: The question.
        texts: In the order of whatever found them; they come back as they are.
        scorer: The cross-encoder, from `load_scorer`, which the caller keeps: it is loaded once and remembers scores.
        top_n: How many come back at most. Defaults to all.

    Returns:
        Best first; equal scores keep the order given. A blank text is not shown to the model, and comes last with 0.

    Raises:
        InvalidSetting: `top_n` is under 1.
        BlankQuery: The question is blank.
        InvalidText: The question or a text holds lone surrogates.
        UnsuitableModel: The model gives NaN or infinity for a text.
    """
    if top_n is not None and top_n < 1:
        raise InvalidSetting(f"top_n must be 1 or more, not {top_n}")
    question, candidates = check_query(query), BlankLast(texts)
    logits = scorer.logits(question, candidates.texts) if candidates.texts else np.zeros(0)
    return [
        RerankedText(position, texts[position], probability)
        for position, _, probability in candidates.rank(logits, top_n=top_n)
    ]
