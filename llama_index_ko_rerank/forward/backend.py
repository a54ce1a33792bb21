"""The forward pass of a cross-encoder: token ids to logits, without padding where the model allows it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from llama_index_ko_rerank.forward.batches import TokenPair, token_budget_batches
from llama_index_ko_rerank.forward.unpadded import UnpaddedForward
from llama_index_ko_rerank.forward.weights import read_weights


class PaddedForward:
    """Scores pairs by any sequence classifier, pairs of similar length in one batch; for one thread at a time.

    Args:
        model: In float32 and in evaluation mode.
        dtype: What to run it in; ``bfloat16`` makes a copy of the model.
        max_batch_tokens: Most tokens of a batch, padding included, 1 or more.
        pad_token_id: What is padded with.

    Attributes:
        backend: ``padded``.
        dtype: As given.
    """

    backend: Literal["unpadded", "padded"] = "padded"

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        dtype: Literal["float32", "bfloat16"],
        max_batch_tokens: int,
        pad_token_id: int,
    ) -> None:
        self.dtype = dtype
        self._model = model if dtype == "float32" else copy.deepcopy(model).bfloat16()
        self._token_budget = max_batch_tokens
        self._pad_token_id = pad_token_id
        self._segments = "token_type_ids" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def logits(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Return the logits of each pair, shape (pairs, labels), in the order given."""
        labels = cast(int, self._model.config.num_labels)
        logits = np.zeros((len(pairs), labels), np.float32)
        for places in token_budget_batches(pairs, self._token_budget, padded=True):
            logits[places] = self._batch([pairs[place] for place in places])
        return logits

    def _batch(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        shape = len(pairs), max(len(pair) for pair in pairs)
        token_ids = np.full(shape, self._pad_token_id, np.int64)
        segment_ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, pair in enumerate(pairs):
            token_ids[row, : len(pair)] = pair.token_ids
            segment_ids[row, : len(pair)] = pair.segment_ids
            mask[row, : len(pair)] = 1
        inputs = {"input_ids": token_ids, "attention_mask": mask}
        if self._segments:
            inputs["token_type_ids"] = segment_ids
        tensors = {name: torch.from_numpy(values).to(self._model.device) for name, values in inputs.items()}
        logits: NDArray[np.float32] = self._model(**tensors).logits.float().cpu().numpy()
        return logits


__all__ = ["DEFAULT_TOKEN_BUDGET", "BackendName", "Dtype", "ScoringBackend", "TokenPair", "make_backend"]

BackendName = Literal["unpadded", "padded"]
Dtype = Literal["float32", "bfloat16"]
DEFAULT_TOKEN_BUDGET = 2048
"""Most tokens of one chunk on a processor: from 1,024 to 8,192 the time is the same to 4 %, the memory is not."""
_DEVICE_TOKEN_BUDGET = 32_768
"""Most tokens of one batch elsewhere; small ones leave a GPU idle."""


class ScoringBackend(Protocol):
    """A loaded cross-encoder that turns token ids into logits; for one thread at a time.

    Attributes:
        backend: ``unpadded`` where nothing is padded, ``padded`` where the model itself is called on padded batches.
        dtype: What the weights and the activations are stored in.
    """

    backend: BackendName
    dtype: Dtype

    def logits(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Return the logits of each pair, shape (pairs, labels), in the order given."""
        ...


def make_backend(
    model: PreTrainedModel,
    *,
    dtype: Dtype = "float32",
    max_batch_tokens: int | None = None,
    pad_token_id: int,
) -> ScoringBackend:
    """Choose the forward pass of a sequence classifier.

    On a processor BERT, RoBERTa, XLM-RoBERTa and ELECTRA run packed; any other model, and any with something added to
    it, runs padded. On a GPU every model runs padded, with the kernels that it was written for.

    Args:
        model: A loaded ``...ForSequenceClassification`` in float32 and in evaluation mode; it is not changed, and its
            float32 weights are shared, not copied.
        dtype: What to store weights and activations in; ``bfloat16`` makes one copy of the weights.
        max_batch_tokens: Most tokens of a batch, 1 or more; bounds the memory of activations. Defaults to what suits
            the device.
        pad_token_id: What padded batches are filled with.
    """
    on_processor = model.device.type == "cpu"
    if max_batch_tokens is None:
        max_batch_tokens = DEFAULT_TOKEN_BUDGET if on_processor else _DEVICE_TOKEN_BUDGET
    weights = read_weights(model) if on_processor else None
    if weights is None:
        return PaddedForward(model, dtype=dtype, max_batch_tokens=max_batch_tokens, pad_token_id=pad_token_id)
    return UnpaddedForward(weights, dtype=dtype, max_batch_tokens=max_batch_tokens)
