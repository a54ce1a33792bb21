"""Shards of a collection: where they lie, which document belongs to which, and all of them as one vector store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryResult

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound
from llama_index_ko_rerank.store.async_store import AsyncVectorStoreMixin, reject_options
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

SHARDS_FILE = "shards.json"
SHARDS_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shards:
    """The shards of a collection.

    Attributes:
        folder: The collection's folder.
        count: Number of shards; it never changes, for a document's shard depends on it.
        source: A digest of the data set that was indexed as a whole; None for files.
    """

    folder: Path
    count: int
    source: str | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders of their indexes, each as deep as the one index of a collection is."""
        return [self.folder / f"shard-{number:04d}" for number in range(self.count)]

    def of(self, document_id: str) -> int:
        """Say which shard a document belongs to."""
        return shard_of(document_id, self.count)


def shard_of(document_id: str, shards: int) -> int:
    """Say which of so many shards a document belongs to: the same on every machine and in every release.

    >>> [shard_of(name, 4) for name in ("가", "나", "다")]
    [3, 2, 3]
    """
    return int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "big") % shards


def is_sharded(folder: str | Path) -> bool:
    """Say whether a collection has shards."""
    return (Path(folder) / SHARDS_FILE).exists()


def find_shards(folder: str | Path) -> Shards:
    """Read which shards a collection has.

    Raises:
        IndexNotFound: The folder holds no sharded collection.
        DamagedIndex: What it says of its shards cannot be read.
    """
    path = Path(folder).expanduser().absolute()
    try:
        content = json.loads((path / SHARDS_FILE).read_text(encoding="utf-8"))
        if content["format"] != SHARDS_FORMAT:
            raise ValueError(f"its format is {content['format']!r}, and this release reads {SHARDS_FORMAT}")
        return Shards(path, int(content["shards"]), content["source"])
    except FileNotFoundError as error:
        raise IndexNotFound(
            f"{str(path)!r} holds no {SHARDS_FILE}; make one with `ko-rerank index --engine ray`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedIndex(f"{SHARDS_FILE} in {str(path)!r} cannot be read: {error}") from error


class ShardedVectorStore(AsyncVectorStoreMixin):
    """Shards of a collection, searched and changed as one store.

    Every shard is searched for ``similarity_top_k`` nodes, side by side, and the best of all are kept, so that
    the result is that of one store with all nodes; equal cosines are in the order of the node ids. A document is wholly
    in the shard that a hash of its id names; a node without a document counts as one of its own. A change of several
    shards is one transaction in each, not one over all.

    Attributes:
        path: The collection's folder, absolute.
        embedding_identity: As in `DurableFaissVectorStore`.

    Raises:
        IndexNotFound: The folder holds no sharded collection.
        ModelMismatch: It was made with another model.
        DamagedIndex, IndexTooNew: A shard cannot be read.
    """

    path: str
    embedding_identity: dict[str, Any] | None = None

    _stores: list[DurableFaissVectorStore] = PrivateAttr()
    _pool: ThreadPoolExecutor = PrivateAttr()

    def __init__(self, path: str | Path, *, embedding_identity: Mapping[str, Any] | None = None) -> None:
        """Open every shard of a collection."""
        shards = find_shards(path)
        identity = None if embedding_identity is None else dict(embedding_identity)
        super().__init__(path=str(shards.folder), embedding_identity=identity)  # type: ignore[call-arg]  # pydantic
        self._stores = [
            DurableFaissVectorStore(folder, embedding_identity=identity, create=False) for folder in shards.folders
        ]
        self._pool = ThreadPoolExecutor(shards.count, thread_name_prefix="shard")

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's JSON."""
        return "ShardedVectorStore"

    @property
    def client(self) -> list[DurableFaissVectorStore]:
        """The shards."""
        return self._stores

    @property
    def count(self) -> int:
        """The number of nodes."""
        return sum(store.count for store in self._stores)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the build besides the model, such as ``chunk_tokens``."""
        return self._stores[0].settings

    def nodes(self) -> Iterator[BaseNode]:
        """Yield every node, shard by shard, a batch in memory at a time."""
        return chain.from_iterable(store.nodes() for store in self._stores)

    def document_hash(self, ref_doc_id: str) -> str | None:
        """Give LlamaIndex's hash of the document that nodes were cut from; None where it has no nodes here."""
        return self._stores[shard_of(ref_doc_id, len(self._stores))].document_hash(ref_doc_id)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes that carry their embeddings, each to its shard; raises what `DurableFaissVectorStore.add` does."""
        reject_options("add", kwargs)
        parts: list[list[BaseNode]] = [[] for _ in self._stores]
        for node in nodes:
            parts[shard_of(node.ref_doc_id or node.node_id, len(parts))].append(node)
        for store, part in zip(self._stores, parts, strict=True):
            store.add(part)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a document in one transaction; a document that is not there changes nothing."""
        self._stores[shard_of(ref_doc_id, len(self._stores))].delete(ref_doc_id, **delete_kwargs)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, by metadata, or those that both allow."""
        for store in self._stores:
            store.delete_nodes(node_ids, filters, **delete_kwargs)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Fetch nodes without their vectors, in the order of the ids, or shard by shard."""
        found = [node for store in self._stores for node in store.get_nodes(node_ids, filters)]
        if node_ids is None:
            return found
        by_id = {node.node_id: node for node in found}
        return [by_id[node_id] for node_id in node_ids if node_id in by_id]

    def clear(self) -> None:
        """Delete all nodes; the recorded model stays."""
        for store in self._stores:
            store.clear()

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nearest nodes of all shards by cosine; raises what `DurableFaissVectorStore.query` does."""
        reject_options("query", kwargs)
        results = list(self._pool.map(lambda store: store.query(query), self._stores))
        hits = [
            (cosine, node)
            for result in results
            for cosine, node in zip(result.similarities or [], result.nodes or [], strict=True)
        ]
        best = sorted(hits, key=lambda hit: (-hit[0], hit[1].node_id))[: query.similarity_top_k]
        return VectorStoreQueryResult(
            nodes=[node for _, node in best],
            similarities=[cosine for cosine, _ in best],
            ids=[node.node_id for _, node in best],
        )

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Write the snapshots of all shards; they stay in their own folders, whatever path is given."""
        for store in self._stores:
            store.persist(persist_path, fs)

    def close(self) -> None:
        """Close every shard; closing twice is fine."""
        self._pool.shutdown()
        for store in self._stores:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
