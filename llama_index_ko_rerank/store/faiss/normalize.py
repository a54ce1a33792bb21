"""Embeddings on entry: checked, of unit length, float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DimensionMismatch, InvalidVector


def normalize_embeddings(embeddings: Sequence[Sequence[float] | None], names: Sequence[str]) -> NDArray[np.float32]:
    """Stack embeddings and bring each to length 1, so that an inner product of two is their cosine.

    Args:
        embeddings: One per name, all of one length; at least one.
        names: What each belongs to, for the message of an error.

    Returns:
        Shape (embeddings, dimension).

    Raises:
        InvalidVector: An embedding is missing, empty, not of numbers, all zeros, or holds NaN or infinity.
        DimensionMismatch: Two embeddings have different lengths.

    >>> normalize_embeddings([[3.0, 4.0]], ["a"]).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    for embedding, name in zip(embeddings, names, strict=True):
        if embedding is None or len(embedding) == 0:
            raise InvalidVector(f"{name} has no embedding; embed it before it is added or searched with")
    lengths = [len(embedding) for embedding in embeddings if embedding is not None]
    odd = next((position for position, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise DimensionMismatch(
            f"{names[odd]} has a vector of {lengths[odd]} numbers and {names[0]} one of {lengths[0]}; "
            "embed all of them with one model"
        )
    try:
        vectors = np.asarray(embeddings, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidVector(f"an embedding is a list of numbers: {error}") from error
    if vectors.ndim != 2:
        raise InvalidVector(f"an embedding is a flat list of numbers, not {vectors.ndim - 1} levels of lists")
    return _to_unit_length(vectors, names)


def _to_unit_length(vectors: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float32]:
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if broken.size:
        raise InvalidVector(f"the embedding of {names[broken[0]]} holds NaN or infinity ({broken.size} such in all)")
    # Divided by the largest number first: the squares of very large and very small ones do not fit into a float.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0)
    if zero.size:
        raise InvalidVector(
            f"the embedding of {names[zero[0]]} is all zeros, so that no cosine exists ({zero.size} such in all); "
            "is its text empty to the model?"
        )
    scaled = vectors / largest
    unit: NDArray[np.float64] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit.astype(np.float32)
