"""A forward pass that calls the model itself, on padded batches of bounded size."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from llama_index_ko_rerank.rerank.token_pairs import TokenPair, chunks


class PaddedForward:
    """Scores pairs by any sequence classifier, pairs of similar length in one batch; for one thread at a time.

    Args:
        model: In float32 and in evaluation mode.
        dtype: What to run it in; ``bfloat16`` makes a copy of the model.
        token_budget: Most tokens of a batch, padding included, 1 or more.
        pad_token_id: What is padded with.

    Attributes:
        path: ``padded``.
        dtype: As given.
    """

    path: Literal["packed", "padded"] = "padded"

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        dtype: Literal["float32", "bfloat16"],
        token_budget: int,
        pad_token_id: int,
    ) -> None:
        self.dtype = dtype
        self._model = model if dtype == "float32" else copy.deepcopy(model).bfloat16()
        self._token_budget = token_budget
        self._pad_token_id = pad_token_id
        self._segments = "token_type_ids" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def logits(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Return the logits of each pair, shape (pairs, labels), in the order given."""
        labels = cast(int, self._model.config.num_labels)
        logits = np.zeros((len(pairs), labels), np.float32)
        for places in chunks(pairs, self._token_budget, padded=True):
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
