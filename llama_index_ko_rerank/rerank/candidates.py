"""The candidates of one question: their texts on the way to the model, their scores on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.judging import Judgement
from llama_index_ko_rerank.rerank.node_text import readable_text, span_in_node
from llama_index_ko_rerank.rerank.notices import Notices
from llama_index_ko_rerank.rerank.order import blended, reordered, sigmoid

Activation = Literal["sigmoid", "identity"]


class Candidates:
    """Retrieved nodes, of which those with a text are shown to the model.

    Args:
        nodes: The nodes, in the order of the first stage.
        metadata_mode: Which metadata are read with a text.
        activation: Whether scores are probabilities or logits.
        blend: The share of the retrieval score, 0 with logits.
        notices: Where to say how many have no text.

    Attributes:
        texts: The texts that are not blank, in the order of the nodes.

    Raises:
        InvalidText: A text holds lone surrogates.
        InvalidSetting: A node has no retrieval score to blend with.
    """

    def __init__(
        self,
        nodes: Sequence[NodeWithScore],
        *,
        metadata_mode: MetadataMode,
        activation: Activation,
        blend: float,
        notices: Notices,
    ) -> None:
        texts = [readable_text(node, metadata_mode) for node in nodes]
        self._readable = np.array([bool(text.strip()) for text in texts], bool)
        self.texts = [text for text, readable in zip(texts, self._readable, strict=True) if readable]
        if len(self.texts) < len(nodes):
            notices.tell("%d of %d passages have no text and score lowest", len(nodes) - len(self.texts), len(nodes))
        self._nodes = nodes
        self._metadata_mode = metadata_mode
        self._activation = activation
        self._blend = blend
        self._retrieval_scores = _retrieval_scores(nodes)[self._readable] if blend else None

    def final(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the logits of `texts` into the scores that the nodes are ordered by."""
        if self._activation == "identity":
            return logits
        probabilities = sigmoid(logits)
        if self._retrieval_scores is None:
            return probabilities
        return blended(self._retrieval_scores, probabilities, blend=self._blend)

    def reordered(
        self, judgement: Judgement, *, top_n: int, score_threshold: float | None, keep_retrieval_score: bool
    ) -> list[NodeWithScore]:
        """Return the best nodes with their scores, as `order.reordered` does.

        Args:
            judgement: What the model said of `texts`.
            top_n: How many at most.
            score_threshold: The least probability, all where None.
            keep_retrieval_score: Whether the first stage's rank and score are kept as the leg ``retrieval``.
        """
        eligible = np.ones(len(self._nodes), bool)
        eligible[self._readable] = judgement.exact
        if score_threshold is not None:
            probabilities = np.zeros(len(self._nodes))
            probabilities[self._readable] = sigmoid(judgement.logits)
            eligible &= probabilities >= score_threshold
        spans = iter(judgement.spans)
        return reordered(
            self._nodes,
            self._scores(judgement),
            top_n=top_n,
            eligible=eligible,
            windows=[
                span_in_node(node, self._metadata_mode, next(spans)) if readable else None
                for node, readable in zip(self._nodes, self._readable, strict=True)
            ],
            keep_retrieval_score=keep_retrieval_score,
        )

    def _scores(self, judgement: Judgement) -> NDArray[np.float64]:
        lowest = 0.0
        if self._activation == "identity":
            lowest = judgement.logits[judgement.exact].min(initial=0.0 if not len(self.texts) else np.inf) - 1.0
        scores = np.full(len(self._nodes), lowest)
        scores[self._readable] = self.final(judgement.logits)
        return scores


def _retrieval_scores(nodes: Sequence[NodeWithScore]) -> NDArray[np.float64]:
    for node in nodes:
        if node.score is None or not np.isfinite(node.score):
            raise InvalidSetting(
                f"blend needs a retrieval score for every node; node {node.node.node_id!r} has {node.score}. Set blend "
                "to 0, or rerank what a retriever with scores found"
            )
    return np.array([node.score for node in nodes], np.float64)
