"""A forward pass without padding: the candidates of a question stand end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llama_index_ko_rerank.forward.batches import TokenPair, token_budget_batches
from llama_index_ko_rerank.forward.layers import cls_attention, embed, encode, feed_forward, group, in_bfloat16, linear
from llama_index_ko_rerank.forward.weights import Layer, Weights


class UnpaddedForward:
    """Scores pairs without a padding token, on the processor; for one thread at a time.

    Linear layers run over all tokens of a chunk, attention over each passage, and the last layer for the classification
    token only. In bfloat16 the layers but the last, and the tokens between them, are in 16 bits; embeddings, the sums
    of layer norms and softmax, the last layer's products and the head are in float32. Measured on 30 KorQuAD paragraphs
    with random weights of RoBERTa-small's shape, that changes a logit by 0.007 at most; in float32 the largest
    difference from the model itself is 6e-7.

    Args:
        weights: In float32; they are shared.
        dtype: What the layers but the last are stored in; ``bfloat16`` makes a copy of them.
        max_batch_tokens: Most tokens of a chunk, 1 or more.

    Attributes:
        backend: ``unpadded``.
        dtype: As given.
    """

    backend: Literal["unpadded", "padded"] = "unpadded"

    def __init__(self, weights: Weights, *, dtype: Literal["float32", "bfloat16"], max_batch_tokens: int) -> None:
        self.dtype = dtype
        self._weights = weights
        self._token_budget = max_batch_tokens
        self._stored = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        layers = weights.layers[:-1]
        self._layers = tuple(map(layer_in_bfloat16, layers)) if dtype == "bfloat16" else layers

    @torch.inference_mode()
    def logits(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Return the logits of each pair, shape (pairs, labels), in the order given."""
        head = self._weights.head
        if not pairs:
            return np.zeros((0, len(head.out.bias)), np.float32)
        order: list[int] = []
        encoded: list[tuple[Tensor, Tensor]] = []
        for places in token_budget_batches(pairs, self._token_budget):
            order.extend(places)
            encoded.append(self._encode([pairs[place] for place in places]))
        first, context = (torch.cat(parts) for parts in zip(*encoded, strict=True))
        pooled = linear(feed_forward(first, context, self._weights.layers[-1]), head.dense, activation=head.activation)
        logits = np.empty((len(pairs), len(head.out.bias)), np.float32)
        logits[order] = linear(pooled, head.out).numpy()
        return logits

    def _encode(self, pairs: Sequence[TokenPair]) -> tuple[Tensor, Tensor]:
        """Return the classification tokens before the last layer, and what they attend to in it."""
        heads, scaling = self._weights.heads, self._weights.scaling
        groups = group(pairs)
        tokens = embed(pairs, self._weights.embeddings).to(self._stored)
        for layer in self._layers:
            tokens = encode(tokens, layer, groups, heads=heads, scaling=scaling)
        starts = [part.first + place * part.length for part in groups for place in range(part.passages)]
        first = tokens[starts].float()
        last = self._weights.layers[-1]
        return first, cls_attention(tokens, first, last, groups, heads=heads, scaling=scaling)


def layer_in_bfloat16(layer: Layer) -> Layer:
    """Copy the linear layers of a layer in 16 bits; its norms stay in float32."""
    return replace(
        layer,
        query=in_bfloat16(layer.query),
        key=in_bfloat16(layer.key),
        value=in_bfloat16(layer.value),
        attention_output=in_bfloat16(layer.attention_output),
        intermediate=in_bfloat16(layer.intermediate),
        output=in_bfloat16(layer.output),
    )
