"""The cross-encoder as a LlamaIndex node postprocessor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr, ValidationError
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.fields import check_fields, invalid_field
from llama_index_ko_rerank.rerank.order import reordered, sigmoid
from llama_index_ko_rerank.rerank.scorer import PairScorer, ScorerSettings, load_scorer
from llama_index_ko_rerank.text.normalize import check_query, check_text, normalize

dispatcher = get_dispatcher(__name__)


class CrossEncoderNodePostprocessor(BaseNodePostprocessor):
    """Reorders retrieved nodes by a cross-encoder that reads the question and each passage together.

    It takes the place of any LlamaIndex node postprocessor::

        reranker = CrossEncoderNodePostprocessor("models/my-cross-encoder", top_n=5)
        engine = index.as_query_engine(similarity_top_k=30, node_postprocessors=[reranker])

    New nodes come back, best first; the nodes handed in are not changed. Equal scores keep the incoming order. The
    score of a node is a probability in 0-1 (a sigmoid of the model's logit) unless `activation` is ``identity``.
    Passages with no text score lowest. The model is loaded once for all postprocessors with the same settings, may be
    used from several threads, and does not block the event loop.

    Raises:
        InvalidSetting: A parameter is unknown or out of range; on construction.
        ModelNotFound: There is no such model within reach; on construction.
        UnsuitableModel: The model is no cross-encoder with one score a pair; on construction.
        BlankQuery: A question is missing or blank; on use.
    """

    model: str = Field(description="A catalog name, a hub name, or the folder of a cross-encoder.")
    top_n: int = Field(default=5, description="How many nodes to return at most, 1 or more.")
    device: str | None = Field(default=None, description="Where the model runs; torch's choice where None.")
    batch_size: int = Field(default=16, description="How many passages are scored at once, 1 or more.")
    max_length: int | None = Field(
        default=None,
        description="Most tokens of question and passage together, 16 or more; the model's own where None.",
    )
    score_threshold: float | None = Field(
        default=None, description="Nodes that score lower are dropped; on the scale of `activation`."
    )
    activation: Literal["sigmoid", "identity"] = Field(
        default="sigmoid", description="`sigmoid` turns logits into probabilities, `identity` keeps them."
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata the model reads with the text."
    )
    keep_retrieval_score: bool = Field(
        default=False,
        description="Whether the returned nodes keep the incoming rank and score as their leg `retrieval`.",
    )
    trust_remote_code: bool = Field(default=False, description="Whether code from the model's repository may run.")
    local_files_only: bool = Field(default=False, description="Whether the hub is left alone.")
    _scorer: PairScorer = PrivateAttr()

    def __init__(self, model: str, **settings: Any) -> None:
        check_fields(type(self), settings, at_least_one=("top_n", "batch_size"))
        try:
            super().__init__(**{"model": str(model), **settings})
        except ValidationError as problem:
            raise invalid_field(problem) from problem
        self._scorer = load_scorer(
            ScorerSettings(self.model, self.device, self.max_length, self.trust_remote_code, self.local_files_only)
        )

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "CrossEncoderNodePostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = check_query(query_bundle.query_str if query_bundle else None)
        if not nodes:
            return []
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            found = reordered(
                nodes,
                self._scores(query, nodes),
                top_n=self.top_n,
                threshold=self.score_threshold,
                keep_retrieval_score=self.keep_retrieval_score,
            )
            event.on_end(payload={EventPayload.NODES: found})
        dispatcher.event(ReRankEndEvent(nodes=found))
        return found

    def _scores(self, query: str, nodes: Sequence[NodeWithScore]) -> NDArray[np.float64]:
        texts = [_text(node, self.metadata_mode) for node in nodes]
        readable = np.array([bool(text.strip()) for text in texts])
        logits = np.full(len(texts), -np.inf)
        logits[readable] = self._scorer.logits(
            query, [text for text, kept in zip(texts, readable, strict=True) if kept], batch_size=self.batch_size
        )
        if self.activation == "identity":
            lowest = logits[readable].min() if readable.any() else 0.0
            return np.where(readable, logits, lowest - 1.0)
        return sigmoid(logits)


def _text(found: NodeWithScore, mode: MetadataMode) -> str:
    text = found.node.get_content(metadata_mode=mode)
    check_text(text, f"the text of node {found.node.node_id!r}")
    return normalize(text)
