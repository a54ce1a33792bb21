"""Nodes on their way into a collection: checked, tokenised, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from llama_index.core.schema import BaseNode, MetadataMode
from numpy.typing import NDArray
from qdrant_client import models

from llama_index_ko_rerank.errors import DimensionMismatch
from llama_index_ko_rerank.scale.qdrant.collection import DENSE, Collection
from llama_index_ko_rerank.scale.qdrant.payloads import point_id, to_payload
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, SparseEncoder, TokenCounts, count_texts
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, to_rows


def write_nodes(
    collection: Collection,
    nodes: Sequence[BaseNode],
    encoder: SparseEncoder,
    *,
    dimension: int,
    counts: Mapping[str, Sequence[TokenCounts]] | None = None,
) -> None:
    """Write nodes with their vectors, replacing those of their ids.

    Args:
        collection: Where to.
        nodes: At least one, each with its embedding.
        encoder: What makes the sparse vectors of the collection.
        dimension: The length of its dense vectors.
        counts: The tokens of each node where they are counted already (see `count_texts`).

    Raises:
        DuplicateNodeId, InvalidNode, InvalidText, InvalidVector, DimensionMismatch: Before anything is written.
        StoreError: One of its kinds: it could not all be written; the message says how many nodes were.
    """
    rows = to_rows(nodes)
    vectors = normalize_embeddings([node.embedding for node in nodes], [f"node {node.node_id!r}" for node in nodes])
    check_dimension(vectors.shape[1], dimension, collection.name)
    counts = counts or count_texts(lexical_texts(nodes), encoder.morphemes.user_words)
    write_rows(collection, rows, vectors, encoder, counts=counts)


def write_rows(
    collection: Collection,
    rows: Sequence[NodeRow],
    vectors: NDArray[np.float32],
    encoder: SparseEncoder,
    *,
    counts: Mapping[str, Sequence[TokenCounts]],
) -> None:
    """Write what `write_nodes` makes of nodes, replacing the points of their ids.

    Args:
        collection: Where to.
        rows: The nodes.
        vectors: Their unit vectors, of shape (nodes, dimension).
        encoder: What makes the sparse vectors of the collection.
        counts: The tokens of each node.

    Raises:
        StoreError: One of its kinds, as in `write_nodes`.
    """
    sparse = {view: [encoder.passage(view, one) for one in counts[view]] for view in VIEWS}
    collection.upsert(
        [
            models.PointStruct(
                id=point_id(row.node_id),
                vector={DENSE: vectors[place].tolist(), **{view: sparse[view][place] for view in VIEWS}},
                payload=to_payload(row),
            )
            for place, row in enumerate(rows)
        ]
    )


def check_dimension(length: int, dimension: int, name: str) -> None:
    """Refuse a vector of another length than the collection holds.

    Raises:
        DimensionMismatch: Naming both.
    """
    if length != dimension:
        raise DimensionMismatch(
            f"the collection {name!r} holds vectors of {dimension} numbers, this one has {length}; embed with the "
            "model that it was built with"
        )


def lexical_texts(nodes: Sequence[BaseNode]) -> list[str]:
    """Return what is searched by words: the text with the metadata that an embedding model would see."""
    return [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
