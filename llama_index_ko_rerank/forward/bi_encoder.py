"""Bi-encoder without padding: texts stand end to end, and each becomes one vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.forward.backend import DEFAULT_TOKEN_BUDGET
from llama_index_ko_rerank.forward.batches import TokenPair, token_budget_batches
from llama_index_ko_rerank.forward.layers import LengthGroup, cls_attention, embed, encode, feed_forward, group
from llama_index_ko_rerank.forward.unpadded import layer_in_bfloat16
from llama_index_ko_rerank.forward.weights import EncoderWeights, read_encoder

_POOLED: dict[PoolingMode, Callable[[Tensor], Tensor]] = {
    "cls": lambda states: states[:, 0],
    "mean": lambda states: states.mean(dim=1),
    "max": lambda states: states.amax(dim=1),
    "lasttoken": lambda states: states[:, -1],
}


class UnpaddedBiEncoder:
    """Turns texts into vectors without a padding token, on the processor; for one thread at a time.

    Linear layers run over all tokens of a chunk, attention over each text. In bfloat16 the layers and the tokens
    between them are in 16 bits; embeddings, the sums of layer norms and softmax, and the pooling are in float32. With
    ``cls`` pooling the last layer runs for the first token only, in float32.

    Args:
        weights: In float32; they are shared.
        pooling: How a text's token vectors become one.
        dtype: What the layers are stored in; ``bfloat16`` makes a copy of them.
        max_batch_tokens: Most tokens of a chunk, 1 or more.
    """

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        pooling: PoolingMode,
        dtype: Literal["float32", "bfloat16"],
        max_batch_tokens: int = DEFAULT_TOKEN_BUDGET,
    ) -> None:
        self._weights = weights
        self._pooling = pooling
        self._stored = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        self._max_batch_tokens = max_batch_tokens
        layers = weights.layers[:-1] if pooling == "cls" else weights.layers
        self._layers = tuple(map(layer_in_bfloat16, layers)) if dtype == "bfloat16" else layers

    @torch.inference_mode()
    def encode(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """Return the pooled vectors, not normalised, float32 of shape (texts, hidden), in the order given.

        Args:
            token_ids: Of each text, special tokens included, one token or more.
        """
        texts = [_single_text(np.asarray(ids, np.int32)) for ids in token_ids]
        vectors = torch.empty(len(texts), self._weights.hidden)
        for indices in token_budget_batches(texts, self._max_batch_tokens):
            vectors[indices] = self._encode([texts[index] for index in indices])
        return vectors

    def _encode(self, texts: Sequence[TokenPair]) -> Tensor:
        heads, scaling = self._weights.heads, self._weights.scaling
        groups = group(texts)
        tokens = embed(texts, self._weights.embeddings).to(self._stored)
        for layer in self._layers:
            tokens = encode(tokens, layer, groups, heads=heads, scaling=scaling)
        if self._pooling == "cls":
            last = self._weights.layers[-1]
            first = torch.cat([_states(tokens, part)[:, 0] for part in groups]).float()
            return feed_forward(first, cls_attention(tokens, first, last, groups, heads=heads, scaling=scaling), last)
        pool = _POOLED[self._pooling]
        return torch.cat([pool(_states(tokens, part).float()) for part in groups])


def make_bi_encoder(
    model: PreTrainedModel, *, pooling: PoolingMode, dtype: Literal["float32", "bfloat16"]
) -> UnpaddedBiEncoder | None:
    """Make the unpadded forward of a bare encoder.

    Args:
        model: In float32 and in evaluation mode; its float32 weights are shared, not copied.
        pooling: How a text's token vectors become one.
        dtype: What the layers are stored in.

    Returns:
        None where the model is on a GPU, is no BERT, RoBERTa or XLM-RoBERTa, or has anything added to it.
    """
    weights = read_encoder(model) if model.device.type == "cpu" else None
    return None if weights is None else UnpaddedBiEncoder(weights, pooling=pooling, dtype=dtype)


def _single_text(token_ids: NDArray[np.int32]) -> TokenPair:
    return TokenPair(token_ids, np.zeros_like(token_ids))


def _states(tokens: Tensor, part: LengthGroup) -> Tensor:
    """Return a group's token vectors, shape (texts, length, hidden)."""
    return tokens[part.rows].view(part.passages, part.length, -1)
