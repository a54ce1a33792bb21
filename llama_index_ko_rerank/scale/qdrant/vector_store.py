"""`KoreanQdrantVectorStore`: a collection at Qdrant as a LlamaIndex vector store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from llama_index_ko_rerank.errors import DimensionMismatch, InvalidSetting
from llama_index_ko_rerank.scale.qdrant.client import DENSE, QdrantCollection
from llama_index_ko_rerank.scale.qdrant.filters import restriction
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest
from llama_index_ko_rerank.scale.qdrant.points import from_payload, point_id, to_payload
from llama_index_ko_rerank.scale.qdrant.sparse import VIEWS, SparseEncoder, TokenCounts, count_texts
from llama_index_ko_rerank.store.async_store import AsyncVectorStoreMixin, check_ids, reject_options, validate_query
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.store.filters import compile_filters
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, to_rows


def write_nodes(
    collection: QdrantCollection,
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
    collection: QdrantCollection,
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


class KoreanQdrantVectorStore(AsyncVectorStoreMixin):
    """Search the nodes of a collection that `build_qdrant_index` made by cosine, and keep its sparse vectors current.

    Adding a node whose id is there replaces it, so that adding again after a failure is safe. A change of more than 128
    nodes goes in several requests; where one fails, the error says how many nodes were written before it. Building the
    index anew ends this store: its methods then raise `IndexNotFound`, and the index is to be opened again.

    Attributes:
        collection_name: The name that `build_qdrant_index` was given.

    Raises:
        IndexNotFound: There is no such collection, or its build was interrupted.
        ModelMismatch: It was built with another embedding model, or with other tokenizers.
        DamagedIndex: Something else made it.
        QdrantUnavailable: The server does not answer.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False
    collection_name: str

    _collection: QdrantCollection = PrivateAttr()
    _manifest: Manifest = PrivateAttr()
    _encoder: SparseEncoder = PrivateAttr()

    def __init__(
        self,
        client: QdrantClient,
        collection_name: str,
        *,
        embedding_identity: Mapping[str, Any] | None = None,
    ) -> None:
        """Open a collection.

        Args:
            client: Qdrant's client, of a server or in local mode.
            collection_name: The name that `build_qdrant_index` was given.
            embedding_identity: Compared with the recorded one where given.
        """
        super().__init__(collection_name=collection_name)  # type: ignore[call-arg]  # pydantic
        self._collection = QdrantCollection.behind(client, collection_name)
        self._manifest = self._collection.manifest()
        if embedding_identity is not None:
            self._manifest.check_model(embedding_identity)
        self._encoder = self._manifest.encoder()

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's JSON."""
        return "KoreanQdrantVectorStore"

    @property
    def client(self) -> QdrantClient:
        """Qdrant's client."""
        return self._collection.client

    @property
    def collection(self) -> QdrantCollection:
        """The collection below."""
        return self._collection

    @property
    def manifest(self) -> Manifest:
        """What the collection was built with."""
        return self._manifest

    @property
    def encoder(self) -> SparseEncoder:
        """What turns texts into the sparse vectors of this collection."""
        return self._encoder

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return self._collection.count()

    def nodes(self) -> Iterator[BaseNode]:
        """Yield all nodes, without their vectors, in the order of the server."""
        return map(from_payload, self._collection.payloads())

    def document_hash(self, ref_doc_id: str) -> str | None:
        """Give the hash that a document had when its nodes were added; None where there are none."""
        check_ids([ref_doc_id], "ref_doc_ids")
        of_document = restriction(None, ref_doc_ids=[ref_doc_id])
        for payload in self._collection.payloads(of_document, limit=1):
            source = from_payload(payload).source_node
            return None if source is None else source.hash
        return None

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes that carry their embeddings, or replace those that have their ids.

        Returns:
            The node ids.

        Raises:
            DuplicateNodeId, InvalidNode, InvalidText, InvalidVector, DimensionMismatch: Before anything is written.
            QdrantUnavailable, IndexReadOnly, DiskFull: It could not all be written; the message says how many were.
        """
        reject_options("add", kwargs)
        if nodes:
            write_nodes(self._collection, nodes, self._encoder, dimension=self._manifest.dimension)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a document in one request; a document that is not there changes nothing."""
        reject_options("delete", delete_kwargs)
        self.delete_documents([ref_doc_id])

    def delete_documents(self, ref_doc_ids: Sequence[str]) -> None:
        """Delete all nodes of many documents in one request."""
        check_ids(ref_doc_ids, "ref_doc_ids")
        selected = restriction(None, ref_doc_ids=ref_doc_ids)
        if selected is not None:
            self._collection.delete(selected)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, by metadata, or those that both leave, all in one request.

        Raises:
            InvalidSetting: Neither ids nor filters with conditions are given.
            UnsupportedQuery, InvalidFilter: The filters cannot be applied.
        """
        reject_options("delete_nodes", delete_kwargs)
        condition = compile_filters(filters)
        if node_ids is None and condition is None:
            raise InvalidSetting("delete_nodes needs the ids or a filter of what is to be deleted")
        check_ids(node_ids or [], "node_ids")
        selected = restriction(condition, node_ids=node_ids)
        if selected is not None and node_ids != []:
            self._collection.delete(selected)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Fetch nodes without their vectors, in the order of the ids; ids that are not there are left out.

        Raises:
            UnsupportedQuery, InvalidFilter: The filters cannot be applied.
        """
        condition = compile_filters(filters)
        check_ids(node_ids or [], "node_ids")
        if node_ids == []:
            return []
        selected = restriction(condition, node_ids=node_ids)
        found = [from_payload(payload) for payload in self._collection.payloads(selected)]
        places = {node_id: place for place, node_id in enumerate(node_ids or [])}
        return sorted(found, key=lambda node: places.get(node.node_id, 0))

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nearest nodes by cosine.

        Raises:
            UnsupportedQuery: A mode other than ``default``, or a filter that Qdrant lacks (see `restriction`).
            InvalidFilter: The value of a filter does not fit its operator.
            InvalidSetting: ``similarity_top_k`` is below 1.
            InvalidVector, DimensionMismatch: The query's vector is unusable.
            QdrantUnavailable: The server does not answer.
        """
        reject_options("query", kwargs)
        vector = validate_query(query)
        check_dimension(len(vector), self._manifest.dimension, self.collection_name)
        selected = restriction(compile_filters(query.filters), node_ids=query.node_ids, ref_doc_ids=query.doc_ids)
        points = self._collection.nearest(vector.tolist(), limit=query.similarity_top_k, selected=selected)
        nodes = [from_payload(point.payload) for point in points]
        return VectorStoreQueryResult(
            nodes=nodes, similarities=[point.score for point in points], ids=[node.node_id for node in nodes]
        )
