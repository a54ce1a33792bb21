"""The forward pass of a cross-encoder: token ids to logits, without padding where the model allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from llama_index_ko_rerank.rerank.packed import PackedForward
from llama_index_ko_rerank.rerank.packed_weights import read_weights
from llama_index_ko_rerank.rerank.padded import PaddedForward
from llama_index_ko_rerank.rerank.token_pairs import TokenPair

__all__ = ["DEFAULT_TOKEN_BUDGET", "Dtype", "Forward", "ForwardPath", "TokenPair", "has_fast_bfloat16", "make_forward"]

ForwardPath = Literal["packed", "padded"]
Dtype = Literal["float32", "bfloat16"]
DEFAULT_TOKEN_BUDGET = 2048
"""Most tokens of one chunk on a processor: from 1,024 to 8,192 the time is the same to 4 %, the memory is not."""
_DEVICE_TOKEN_BUDGET = 32_768
"""Most tokens of one batch elsewhere; small ones leave a GPU idle."""


class Forward(Protocol):
    """A loaded cross-encoder that turns token ids into logits; for one thread at a time.

    Attributes:
        path: ``packed`` where nothing is padded, ``padded`` where the model itself is called on padded batches.
        dtype: What the weights and the activations are stored in.
    """

    path: ForwardPath
    dtype: Dtype

    def logits(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Return the logits of each pair, shape (pairs, labels), in the order given."""
        ...


def make_forward(
    model: PreTrainedModel,
    *,
    dtype: Dtype = "float32",
    token_budget: int | None = None,
    pad_token_id: int,
) -> Forward:
    """Choose the forward pass of a sequence classifier.

    On a processor BERT, RoBERTa, XLM-RoBERTa and ELECTRA run packed; any other model, and any with something added to
    it, runs padded. On a GPU every model runs padded, with the kernels that it was written for.

    Args:
        model: A loaded ``...ForSequenceClassification`` in float32 and in evaluation mode; it is not changed, and its
            float32 weights are shared, not copied.
        dtype: What to store weights and activations in; ``bfloat16`` makes one copy of the weights.
        token_budget: Most tokens of a chunk, 1 or more; bounds the memory that activations take. What suits the device
            where None.
        pad_token_id: What padded batches are filled with.
    """
    on_processor = model.device.type == "cpu"
    if token_budget is None:
        token_budget = DEFAULT_TOKEN_BUDGET if on_processor else _DEVICE_TOKEN_BUDGET
    weights = read_weights(model) if on_processor else None
    if weights is None:
        return PaddedForward(model, dtype=dtype, token_budget=token_budget, pad_token_id=pad_token_id)
    return PackedForward(weights, dtype=dtype, token_budget=token_budget)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether matrix products in bfloat16 run in hardware on a device: AMX or AVX512-BF16, or a GPU's own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
