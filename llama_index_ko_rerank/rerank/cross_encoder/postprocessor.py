"""The cross-encoder as a LlamaIndex node postprocessor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.catalog import DEFAULT_RERANKER
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.forward.backend import BackendName
from llama_index_ko_rerank.rerank.cross_encoder.loading import ScorerDtype
from llama_index_ko_rerank.rerank.cross_encoder.scorer import CrossEncoderScorer, ScorerSettings, load_scorer
from llama_index_ko_rerank.rerank.cross_encoder.scoring import ScoredPassages
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import LongPassage, WarnOnce
from llama_index_ko_rerank.rerank.nodes import (
    BlankLast,
    interpolate_scores,
    map_span_to_node,
    model_input_text,
    rerank_nodes,
    sigmoid,
)
from llama_index_ko_rerank.rerank.postprocessor import RerankingPostprocessor

Activation = Literal["sigmoid", "identity"]


class Candidates:
    """Retrieved nodes, of which those with a text are shown to the model.

    Args:
        nodes: The nodes, in the order of the first stage.
        metadata_mode: Which metadata are read with a text.
        activation: Whether scores are probabilities or logits.
        retrieval_weight: The share of the retrieval score, 0 with logits.
        warnings: Log of how many have no text.

    Raises:
        InvalidText: A text holds lone surrogates.
        InvalidSetting: A node has no retrieval score to weigh.
    """

    def __init__(
        self,
        nodes: Sequence[NodeWithScore],
        *,
        metadata_mode: MetadataMode,
        activation: Activation,
        retrieval_weight: float,
        warnings: WarnOnce,
    ) -> None:
        self._texts = BlankLast([model_input_text(node, metadata_mode) for node in nodes])
        if len(self.texts) < len(nodes):
            warnings.log("%d of %d passages have no text and score lowest", len(nodes) - len(self.texts), len(nodes))
        self._nodes = nodes
        self._metadata_mode = metadata_mode
        self._activation = activation
        self._retrieval_weight = retrieval_weight
        self._retrieval_scores = _retrieval_scores(nodes)[~self._texts.blank] if retrieval_weight else None

    @property
    def texts(self) -> list[str]:
        """The texts that are not blank, in the order of the nodes."""
        return self._texts.texts

    def to_scores(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the logits of `texts` into the scores that the nodes are ordered by."""
        if self._activation == "identity":
            return logits
        probabilities = sigmoid(logits)
        if self._retrieval_scores is None:
            return probabilities
        return interpolate_scores(self._retrieval_scores, probabilities, retrieval_weight=self._retrieval_weight)

    def build_results(
        self, scored: ScoredPassages, *, top_n: int, score_threshold: float | None, keep_retrieval_score: bool
    ) -> list[NodeWithScore]:
        """Return the best nodes with their scores, as `rerank_nodes` does; those with no text come last.

        Args:
            scored: What the model said of `texts`.
            top_n: How many at most.
            score_threshold: The least probability. Defaults to none.
            keep_retrieval_score: Whether the first stage's rank and score are kept as the source ``retrieval``.
        """
        eligible = self._texts.fill_exact(scored.exact)
        if score_threshold is not None:
            eligible &= self._texts.fill(sigmoid(scored.logits)) >= score_threshold
        spans = iter(scored.spans)
        return rerank_nodes(
            self._nodes,
            self._scores(scored),
            top_n=top_n,
            eligible=eligible,
            last=self._texts.blank,
            windows=[
                map_span_to_node(node, self._metadata_mode, next(spans)) if not blank else None
                for node, blank in zip(self._nodes, self._texts.blank, strict=True)
            ],
            keep_retrieval_score=keep_retrieval_score,
        )

    def _scores(self, scored: ScoredPassages) -> NDArray[np.float64]:
        if self._activation == "identity":
            return self._texts.fill_logits(scored.logits, scored.exact)
        return self._texts.fill(self.to_scores(scored.logits))


def _retrieval_scores(nodes: Sequence[NodeWithScore]) -> NDArray[np.float64]:
    for node in nodes:
        if node.score is None or not np.isfinite(node.score):
            raise InvalidSetting(
                f"retrieval_weight needs a retrieval score of every node; node {node.node.node_id!r} has {node.score}. "
                "Set it to 0, or rerank what a retriever with scores found"
            )
    return np.array([node.score for node in nodes], np.float64)


logger = logging.getLogger(__name__)


class CrossEncoderNodePostprocessor(RerankingPostprocessor):
    """Reorders retrieved nodes by a cross-encoder that reads the question and each passage together.

    It takes the place of any LlamaIndex node postprocessor::

        reranker = CrossEncoderNodePostprocessor("models/my-cross-encoder", top_n=5)
        engine = index.as_query_engine(similarity_top_k=30, node_postprocessors=[reranker])

    **What comes back.** New nodes, best first, `top_n` at most; the nodes handed in are not changed. Equal scores keep
    the incoming order. A score is a probability in 0-1: the sigmoid of the model's logit, or for a model with several
    labels the softmax of the one that `label` names. With ``activation="identity"`` it is the logit (for one of
    several labels its log odds). With a `retrieval_weight` w above 0 it is ``w * retrieval + (1 - w) * probability``:
    ``retrieval`` is the incoming score brought to 0-1 by the lowest and the largest of the list. `score_threshold`
    looks at the probability whatever the score is. Passages with no text score lowest: 0, or one less than the lowest
    logit; they are counted and logged.

    **Long texts.** A question has at most half of `max_length`. A passage that does not fit beside it is read in
    windows that overlap by an eighth and end where sentences end, and has the logit of its best window; the node is
    then a `RankedNode` whose `window` says which characters that holds, for citations. ``overflow="truncate"``
    reads the beginning only. What is cut is counted and logged: the first time as a warning, after that at INFO.

    **Speed.** BERT, RoBERTa, XLM-RoBERTa and ELECTRA classifiers read passages without padding (`backend` is
    ``unpadded``), other families in padded batches of similar length (``padded``). ``dtype="bfloat16"`` is two to three
    times as fast on processors that are quick at it and changes a logit in about its third digit; ``auto`` times both
    formats on loading and takes it where it is faster. With `cascade` all candidates are read in bfloat16, and in
    float32 those that could be among the first `top_n`: those whose logit would reach them if it were off by three
    times the usual difference, learnt from the first questions, at least 120 passages, and on. The list that comes back
    is that of float32.

    **What is remembered**, each up to a bound: tokens of passages, sentences of long ones, and the scores of 50,000
    pairs of question and passage, so that a repeated question costs no forward. `clear_cache` empties all that.

    **Threads.** Postprocessors with the same model settings share one loaded model and its memory. All methods may be
    called from several threads and from async code, which they do not hold up. The model runs one forward at a time;
    requests that wait are merged into one of 16,384 tokens at most, first come, first served. An async call may be
    cancelled at any moment. A copy shares the model; a pickle holds the settings and loads it anew. A process that was
    forked after a model was loaded is refused: start workers with ``spawn``.

    Raises:
        InvalidSetting: A parameter is out of range, or does not fit the model; on construction. A node has
            no retrieval score to weigh; on use.
        ModelNotFound: There is no such model within reach; on construction.
        UnsuitableModel: The model is no cross-encoder with a trained head and a tokenizer, on construction; it gives
            NaN or infinity for a passage, which is named, on use.
        ModelError: The process was forked after a model was loaded.
        BlankQuery: A question is missing or blank; on use.
        InvalidText: The question or a node's text holds lone surrogates; on use.
    """

    model: str = Field(
        default=DEFAULT_RERANKER,
        description="A catalog name, a hub name, or the folder of a cross-encoder; by default the one in the wheel.",
    )
    top_n: int = Field(default=5, ge=1, strict=True, description="How many nodes to return at most, 1 or more.")
    device: str | None = Field(default=None, description="Where the model runs; torch's choice where None.")
    dtype: ScorerDtype = Field(default="float32", description="What it computes in: `float32`, `bfloat16` or `auto`.")
    cascade: bool = Field(
        default=False,
        description="Whether all candidates are read in bfloat16, and in float32 those that may be among the first.",
    )
    max_batch_tokens: int | None = Field(
        default=None,
        description="Most tokens that the model reads at once, 1 or more, which bounds its memory and changes no "
        "score; what suits the model where None.",
    )
    max_length: int | None = Field(
        default=None,
        description="Most tokens of question and passage together, 16 or more; the model's own where None.",
    )
    overflow: LongPassage = Field(
        default="window", description="Whether a passage that is too long is read in windows, or cut: `truncate`."
    )
    label: str | int | None = Field(
        default=None,
        description="Which label's probability counts, by name or number; None for a model that has one.",
    )
    score_threshold: float | None = Field(
        default=None, ge=0, le=1, description="Nodes of a lower probability are dropped, 0-1; none where None."
    )
    retrieval_weight: float = Field(default=0.0, ge=0, le=1, description="The share of the retrieval score, 0-1.")
    activation: Activation = Field(
        default="sigmoid", description="Whether scores are probabilities or, with `identity`, logits."
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata the model reads with the text."
    )
    keep_retrieval_score: bool = Field(
        default=False,
        description="Whether the returned nodes keep the incoming rank and score as their source `retrieval`.",
    )
    trust_remote_code: bool = Field(default=False, description="Whether code from the model's repository may run.")
    local_files_only: bool = Field(default=False, description="Whether the hub is left alone.")
    _scorer: CrossEncoderScorer = PrivateAttr()
    _warnings: WarnOnce = PrivateAttr()

    def __init__(
        self,
        model: str | Path = DEFAULT_RERANKER,
        *,
        top_n: int = 5,
        device: str | None = None,
        dtype: ScorerDtype = "float32",
        cascade: bool = False,
        max_batch_tokens: int | None = None,
        max_length: int | None = None,
        overflow: LongPassage = "window",
        label: str | int | None = None,
        score_threshold: float | None = None,
        retrieval_weight: float = 0.0,
        activation: Activation = "sigmoid",
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        keep_retrieval_score: bool = False,
        trust_remote_code: bool = False,
        local_files_only: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(
            model=str(model),
            top_n=top_n,
            device=device,
            dtype=dtype,
            cascade=cascade,
            max_batch_tokens=max_batch_tokens,
            max_length=max_length,
            overflow=overflow,
            label=label,
            score_threshold=score_threshold,
            retrieval_weight=retrieval_weight,
            activation=activation,
            metadata_mode=metadata_mode,
            keep_retrieval_score=keep_retrieval_score,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
            callback_manager=callback_manager,
        )
        if self.retrieval_weight and self.activation == "identity":
            raise InvalidSetting("retrieval_weight mixes probabilities; with activation='identity' leave it 0")
        self._scorer = load_scorer(
            ScorerSettings(
                self.model,
                device=self.device,
                max_length=self.max_length,
                trust_remote_code=self.trust_remote_code,
                local_files_only=self.local_files_only,
                dtype=self.dtype,
                cascade=self.cascade,
                max_batch_tokens=self.max_batch_tokens,
                overflow=self.overflow,
                label=self.label,
            )
        )
        self._warnings = WarnOnce(logger)

    def __reduce__(self) -> tuple[Callable[..., BaseNodePostprocessor], tuple[dict[str, Any]]]:
        return type(self).from_dict, (self.to_dict(),)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "CrossEncoderNodePostprocessor"

    @property
    def backend(self) -> BackendName:
        """How the model reads passages: ``unpadded``, without padding, or ``padded``."""
        return self._scorer.backend

    def clear_cache(self) -> None:
        """Forget all texts and scores, also for the postprocessors that share the model; for measurements."""
        self._scorer.clear_cache()

    def _model_name(self) -> str:
        return self.model

    def _rerank(self, query: str, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        candidates = self._candidates(nodes)
        scored = self._scorer.score(query, candidates.texts, top_n=self.top_n, transform=candidates.to_scores)
        return self._build_results(candidates, scored)

    async def _arerank(self, query: str, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        candidates = await asyncio.to_thread(self._candidates, nodes)
        scored = await self._scorer.ascore(query, candidates.texts, top_n=self.top_n, transform=candidates.to_scores)
        return await asyncio.to_thread(self._build_results, candidates, scored)

    def _candidates(self, nodes: list[NodeWithScore]) -> Candidates:
        return Candidates(
            nodes,
            metadata_mode=self.metadata_mode,
            activation=self.activation,
            retrieval_weight=self.retrieval_weight,
            warnings=self._warnings,
        )

    def _build_results(self, candidates: Candidates, scored: ScoredPassages) -> list[NodeWithScore]:
        return candidates.build_results(
            scored,
            top_n=self.top_n,
            score_threshold=self.score_threshold,
            keep_retrieval_score=self.keep_retrieval_score,
        )
