"""The two stores that are compared, each used as its documentation says, through the same LlamaIndex classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import faiss
from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import BaseNode
from llama_index.vector_stores.faiss import FaissVectorStore

from benchmarks.store.corpus import NoEmbedding
from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.store import DurableFaissVectorStore, open_index


class System(Protocol):
    """How to build an index in a folder, and how to open it again."""

    def build(self, folder: Path, batches: Iterator[Sequence[BaseNode]], model: NoEmbedding) -> None:
        """Insert nodes batch by batch, and write everything that the next opening needs."""

    def open(self, folder: Path, model: NoEmbedding) -> VectorStoreIndex:
        """Open what was built."""


class Durable:
    """`DurableFaissVectorStore`, each batch a transaction, with the automatic kind of index."""

    def build(self, folder: Path, batches: Iterator[Sequence[BaseNode]], model: NoEmbedding) -> None:
        """Insert, then persist."""
        store = DurableFaissVectorStore(folder, embedding_identity=embedding_identity(model))
        index = VectorStoreIndex.from_vector_store(store, embed_model=model)
        _insert(index, batches)
        close(index)

    def open(self, folder: Path, model: NoEmbedding) -> VectorStoreIndex:
        """Open by `open_index`."""
        return open_index(folder, embed_model=model)


class Stock:
    """LlamaIndex's `FaissVectorStore` over an exact inner product index, with `SimpleDocumentStore`."""

    def build(self, folder: Path, batches: Iterator[Sequence[BaseNode]], model: NoEmbedding) -> None:
        """Insert into memory, then persist."""
        store = FaissVectorStore(faiss_index=faiss.IndexFlatIP(model.dimension))
        storage = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex(nodes=[], storage_context=storage, embed_model=model)
        _insert(index, batches)
        index.storage_context.persist(persist_dir=str(folder))

    def open(self, folder: Path, model: NoEmbedding) -> VectorStoreIndex:
        """Open by `load_index_from_storage`."""
        store = FaissVectorStore.from_persist_dir(str(folder))
        storage = StorageContext.from_defaults(vector_store=store, persist_dir=str(folder))
        index = load_index_from_storage(storage, embed_model=model)
        assert isinstance(index, VectorStoreIndex)
        return index


SYSTEMS: dict[str, System] = {"durable": Durable(), "stock": Stock()}


def close(index: VectorStoreIndex) -> None:
    """Close a store that can be closed."""
    store: Any = index.vector_store
    if isinstance(store, DurableFaissVectorStore):
        store.close()


def _insert(index: VectorStoreIndex, batches: Iterator[Sequence[BaseNode]]) -> None:
    for nodes in batches:
        index.insert_nodes(nodes)
