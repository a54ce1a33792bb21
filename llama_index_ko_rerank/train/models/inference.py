"""Vectors and logits of a model in training, as the probes and the mining read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

_STATIC_BATCH = 1024  # a static embedding pads nothing, and has little to do for each text


def unit_vectors(
    model: SentenceTransformer, texts: Sequence[str], side: Literal["query", "document"], batch_size: int
) -> NDArray[np.float32]:
    """Embed texts with the model's own prompt for that side.

    Returns:
        Shape (texts, dimension), each row of length 1.
    """
    encode = model.encode_query if side == "query" else model.encode_document
    vectors: NDArray[np.float32] = encode(
        list(texts),
        batch_size=_STATIC_BATCH if isinstance(model[0], StaticEmbedding) else batch_size,
        show_progress_bar=False,
        normalize_embeddings=True,
        convert_to_numpy=True,
    )
    return vectors


def pair_logits(model: CrossEncoder, pairs: Sequence[tuple[str, str]], batch_size: int) -> NDArray[np.float64]:
    """Score pairs with a cross-encoder, without its activation.

    Returns:
        Shape (pairs,) for a model with one logit, else (pairs, classes).
    """
    scores = model.predict(
        list(pairs), batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
    )
    return np.asarray(scores, dtype=np.float64)
