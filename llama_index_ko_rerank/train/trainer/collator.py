"""The token ids of a static embedding's texts, found once for all epochs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import StaticEmbedding


class CachedTokenCollator:
    """Does what the static embedding's `preprocess` does, and keeps the ids of every text.

    Tokenising takes far longer than everything else that a static embedding does with a text, and in training the same
    texts come again with every epoch and every question. Four bytes a token are kept.
    """

    def __init__(self, module: StaticEmbedding) -> None:
        self._tokenizer = module.tokenizer
        self._ids: dict[str, NDArray[np.int32]] = {}

    def __call__(
        self,
        inputs: list[str],
        prompt: str | None = None,
        task: str | None = None,  # noqa: ARG002  the library's call
    ) -> dict[str, torch.Tensor]:
        """Give the ids of all texts end to end, and where each text begins."""
        texts = [prompt + text for text in inputs] if prompt else inputs
        new = [text for text in dict.fromkeys(texts) if text not in self._ids]
        for text, encoding in zip(new, self._tokenizer.encode_batch(new, add_special_tokens=False), strict=True):
            self._ids[text] = np.asarray(encoding.ids, np.int32)
        ids = [self._ids[text] for text in texts]
        starts = np.cumsum([0, *(len(found) for found in ids[:-1])])
        return {
            "input_ids": torch.from_numpy(np.concatenate(ids).astype(np.int64)),
            "offsets": torch.from_numpy(starts.astype(np.int64)),
        }
