"""What a store must hold and find: a dict of nodes in the order of addition, and brute force over it."""

from __future__ import annotations

import random
import zlib
from typing import Any, NamedTuple

import numpy as np
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings

DIMENSION = 16


class Entry(NamedTuple):
    """One node: its document, the version of its text and vector, and its group, which filters ask for."""

    document: str
    version: int
    group: int

    def vector(self, node_id: str) -> list[float]:
        """Derive the vector from the id and the version."""
        seed = zlib.crc32(f"{node_id} {self.version}".encode())
        return np.random.default_rng(seed).normal(size=DIMENSION).tolist()

    def text(self, node_id: str) -> str:
        """Derive the text likewise; one in eight is long and none is easily packed: transactions have many sizes."""
        seed = zlib.crc32(f"{self.version} {node_id}".encode())
        size = seed % 15000 if seed % 8 == 0 else seed % 200
        return f"{node_id}의 {self.version}판 {random.Random(seed).randbytes(size).hex()}"

    def node(self, node_id: str) -> TextNode:
        """Make the LlamaIndex node."""
        return TextNode(
            id_=node_id,
            text=self.text(node_id),
            embedding=self.vector(node_id),
            metadata={"group": self.group, "version": self.version},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=self.document)},
        )


Model = dict[str, Entry]


def contents(model: Model) -> list[tuple[Any, ...]]:
    """List everything that a store with these nodes must give back, in the order of addition."""
    return [
        (node_id, entry.document, entry.text(node_id), {"group": entry.group, "version": entry.version})
        for node_id, entry in model.items()
    ]


def stored_contents(store: Any) -> list[tuple[Any, ...]]:
    """List what a store gives back, in the same form."""
    return [(node.node_id, node.ref_doc_id, node.text, node.metadata) for node in store.nodes()]


def brute_force(vectors: dict[str, list[float]], query: list[float], top_k: int) -> tuple[list[str], list[float]]:
    """Rank by cosine in float64 over the float32 vectors, equal ones in the order of the dict."""
    if not vectors:
        return [], []
    unit = normalize_embeddings([*vectors.values(), query], [*vectors, "the query"]).astype(np.float64)
    cosines = (unit[:-1] * unit[-1]).sum(axis=1)
    order = np.lexsort((np.arange(len(vectors)), -cosines))[:top_k]
    names = list(vectors)
    return [names[position] for position in order], np.clip(cosines[order], -1.0, 1.0).tolist()


def search_problem(store: Any, vectors: dict[str, list[float]], query: list[float], **fields: Any) -> str | None:
    """Say in what a search differs from brute force over the vectors that it may find; None where it does not.

    Args:
        store: The store to ask.
        vectors: By node id, in the order of addition; only those that the restrictions in `fields` leave.
        query: The query's vector.
        fields: More fields of the `VectorStoreQuery`; ``similarity_top_k`` is 10 where not given.
    """
    fields = {"similarity_top_k": 10} | fields
    found = store.query(VectorStoreQuery(query_embedding=query, **fields))
    ids, cosines = brute_force(vectors, query, fields["similarity_top_k"])
    if found.ids != ids:
        return f"found {found.ids} instead of {ids}"
    if not np.allclose(found.similarities, cosines, rtol=0, atol=1e-6):
        return f"similarities {found.similarities} instead of {cosines}"
    return None
