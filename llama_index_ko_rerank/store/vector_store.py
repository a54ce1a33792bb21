"""`DurableFaissVectorStore`: the index of one folder as a LlamaIndex vector store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryResult

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.store.async_store import AsyncVectorStoreMixin, check_ids, reject_options, validate_query
from llama_index_ko_rerank.store.filters import compile_filters
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType, check_vector_type
from llama_index_ko_rerank.store.sqlite.rows import to_node
from llama_index_ko_rerank.store.sqlite.table import NodeTable

logger = logging.getLogger(__name__)

_CONSTANTS: dict[str, bool] = {"stores_text": True, "is_embedding_query": True, "flat_metadata": False}


class DurableFaissVectorStore(AsyncVectorStoreMixin):
    """Nodes and vectors in a folder, where nothing is lost, searched by cosine.

    When a method that adds or deletes returns, the change is on disk: one synced SQLite transaction. There is no need
    to call `persist`. The FAISS index in memory is made from the table, and every search brings it up to the newest
    generation first, so that stores on one folder, in one process or several, see each other's changes. One writes at a
    time; a second one waits for 30 s and then gets `IndexBusy`.

    Up to a quarter of a million vectors the search is exact (see `IndexSettings`). Above, or where the settings say so,
    an approximate index is used, of which a snapshot lies beside the table. It only makes the next opening faster. It
    is written by `persist`, and by `close` where this store has changed nodes; a snapshot that is missing or not what
    was written is not used, and one from an earlier generation is brought up to date from the table.

    Adding a node whose id is there already replaces the node in the same transaction; it then counts as the newest.
    Similarities are cosines in -1 to 1, larger is better; equal ones keep the order of addition.

    Attributes:
        path: The folder, absolute.
        embedding_identity: Identity of the embedding model (see `llama_index_ko_rerank.embed.embedding_identity`); None
            if unknown, and then only the length of the vectors can be checked.
        vector_dtype: Type of the vectors in the table, as given.
        index_settings: Settings of the FAISS index, as given.

    Raises:
        IndexNotFound: ``create=False`` and there is none, or its first build was interrupted.
        ModelMismatch: The index was built with another model.
        InvalidSetting: The index keeps its vectors by another ``vector_dtype``, or a setting is unknown.
        DamagedIndex: The table cannot be read.
        IndexTooNew: A newer release made it.
        IndexReadOnly: The folder cannot be written, as making an index or recording other settings needs.
    """

    path: str
    embedding_identity: dict[str, Any] | None = None
    vector_dtype: VectorType | None = None
    index_settings: IndexSettings | None = None

    _folder: IndexFolder = PrivateAttr()

    def __init__(
        self,
        path: str | Path,
        *,
        embedding_identity: Mapping[str, Any] | None = None,
        create: bool = True,
        vector_dtype: VectorType | None = None,
        index_settings: IndexSettings | Mapping[str, Any] | None = None,
        **constants: bool,
    ) -> None:
        """Open the index of a folder.

        Args:
            path: The folder; it and its parents are made where they are missing.
            embedding_identity: Compared with the recorded one, and recorded in a new index.
            create: Make an empty index where there is none.
            vector_dtype: Recorded in a new index; an index that is there must have the same. Defaults to ``float32`` or
                the recorded one.
            index_settings: Recorded, in an index that is there as well. Defaults to the recorded ones.
            constants: The fields that never differ, so that ``from_dict(to_dict())`` works.
        """
        for name, value in constants.items():
            if name not in _CONSTANTS or value != _CONSTANTS[name]:
                known = nearest(name, ["path", "embedding_identity", "create", "vector_dtype", "index_settings"])
                raise InvalidSetting(f"{name}={value!r} is no setting of DurableFaissVectorStore; {known}")
        folder = Path(path).expanduser().absolute()
        identity = None if embedding_identity is None else dict(embedding_identity)
        dtype = None if vector_dtype is None else check_vector_type(vector_dtype)
        settings = None if index_settings is None else IndexSettings.of(index_settings)
        super().__init__(
            path=str(folder),
            embedding_identity=identity,  # type: ignore[call-arg]  # pydantic
            vector_dtype=dtype,
            index_settings=settings,
            **_CONSTANTS,
        )
        self._folder = IndexFolder(
            folder,
            mode="create" if create else "open",
            embedding_identity=identity,
            vector_dtype=dtype,
            index_settings=settings,
        )

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's JSON."""
        return "DurableFaissVectorStore"

    @property
    def client(self) -> NodeTable:
        """The table below, which holds the truth."""
        return self._folder.table

    @property
    def generation(self) -> int:
        """The number of transactions that have changed nodes; what is derived from an earlier one is stale."""
        with self._folder.read() as reader:
            return reader.manifest.generation

    @property
    def count(self) -> int:
        """The number of nodes."""
        with self._folder.read() as reader:
            return reader.manifest.node_count

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the build besides the model, such as ``chunk_tokens``."""
        with self._folder.read() as reader:
            return reader.manifest.settings

    def nodes(self) -> Iterator[BaseNode]:
        """Yield every node in the order of addition, all of one generation, a batch in memory at a time."""
        with self._folder.read() as reader:
            for row in reader.all_rows():
                yield to_node(row)

    def document_hash(self, ref_doc_id: str) -> str | None:
        """Give LlamaIndex's hash of the document that nodes were cut from; None where it has no nodes here."""
        check_ids([ref_doc_id], "ref_doc_id")
        with self._folder.read() as reader:
            row_ids = reader.row_ids_of_documents([ref_doc_id])
            source = to_node(reader.rows(row_ids[:1])[0]).source_node if row_ids else None
        return None if source is None else source.hash

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes that carry their embeddings, or replace those that have their ids, all of them or none.

        Returns:
            The node ids.

        Raises:
            DuplicateNodeId: Two of the nodes have one id.
            InvalidNode, InvalidText: A node could not be given back as it is.
            InvalidVector: An embedding is missing, zero, or holds NaN or infinity.
            DimensionMismatch: A vector has another length than the others or than the index holds.
            ModelMismatch: The index was rebuilt with another model since this store was opened.
            IndexBusy, IndexReadOnly, DiskFull: It could not be written; then nothing was.
        """
        reject_options("add", kwargs)
        self._folder.add(nodes)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a document in one transaction; a document that is not there changes nothing."""
        reject_options("delete", delete_kwargs)
        self.delete_documents([ref_doc_id])

    def delete_documents(self, ref_doc_ids: Sequence[str]) -> int:
        """Delete all nodes of many documents in one transaction, much faster than one by one.

        Returns:
            How many nodes there were; documents that are not there change nothing.

        Raises:
            InvalidSetting: One string is given where a list is meant.
            IndexBusy, IndexReadOnly, DiskFull: It could not be written; then nothing was.
        """
        check_ids(ref_doc_ids, "ref_doc_ids")
        with self._folder.transaction() as writer:
            return writer.delete_documents(ref_doc_ids)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, by metadata, or those that both allow, all in one transaction.

        Args:
            node_ids: Ids that are not there change nothing. Defaults to all nodes that pass the filters.
            filters: As in `query`.
            delete_kwargs: None is known.

        Raises:
            InvalidSetting: Neither ids nor filters with conditions are given; `clear` deletes everything.
            UnsupportedQuery, InvalidFilter: The filters cannot be applied.
        """
        reject_options("delete_nodes", delete_kwargs)
        condition = compile_filters(filters)
        if node_ids is None and condition is None:
            raise InvalidSetting(
                "delete_nodes needs the ids or a filter of what is to be deleted; clear() deletes all nodes"
            )
        check_ids(node_ids or [], "node_ids")
        self._folder.delete_nodes(node_ids, condition)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Fetch nodes without their vectors, in the order of the ids; ids that are not there are left out.

        Args:
            node_ids: Defaults to all nodes, in the order of addition.
            filters: Only nodes that pass them, as in `query`.

        Raises:
            UnsupportedQuery, InvalidFilter: The filters cannot be applied.
        """
        condition = compile_filters(filters)
        if node_ids is None and condition is None:
            return list(self.nodes())
        check_ids(node_ids or [], "node_ids")
        return [to_node(row) for row in self._folder.rows(node_ids, condition)]

    def clear(self) -> None:
        """Delete all nodes; the recorded model stays."""
        with self._folder.transaction() as writer:
            writer.clear()

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nearest nodes by cosine in the newest generation.

        Filters restrict the search itself, so that it still finds ``similarity_top_k`` nodes where so many pass; their
        meaning is that of `llama_index_ko_rerank.store.filters.matches`. ``node_ids`` and ``doc_ids`` restrict it to
        these nodes and to nodes of these documents, and all restrictions hold together; LlamaIndex's retrievers pass
        empty lists for "no restriction", and so they count.

        Raises:
            UnsupportedQuery: A mode other than ``default``, an option that the store lacks, or an unknown operator.
            InvalidFilter: The value of a filter does not fit its operator, or not the metadata of a node.
            InvalidSetting: ``similarity_top_k`` is below 1.
            InvalidVector: The query has no embedding, or one of NaN, infinity or zeros.
            DimensionMismatch: The query's vector has another length than the index holds.
            ModelMismatch: The index was rebuilt with another model since this store was opened.
        """
        reject_options("query", kwargs)
        vector = validate_query(query)
        rows, cosines = self._folder.search(
            vector,
            top_k=query.similarity_top_k,
            node_ids=query.node_ids,
            ref_doc_ids=query.doc_ids,
            condition=compile_filters(query.filters),
        )
        ids = [row.node_id for row in rows]
        return VectorStoreQueryResult(nodes=[to_node(row) for row in rows], similarities=cosines, ids=ids)

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Write a FAISS snapshot beside the table, where its kind has one, and merge SQLite's log into the table.

        An approximate index that was outgrown is made anew, which may take minutes.

        The nodes are durable without it. The index stays in its own folder, whatever path is given: a
        ``StorageContext`` names a file of its own, which is not made.

        Raises:
            IndexBusy: Another process is writing the index.
            DiskFull, StoreError: The snapshot could not be written; the nodes are safe.
        """
        if persist_path or fs is not None:
            logger.info(
                "the index stays in %s, where it is durable already; nothing goes to %r", self.path, persist_path
            )
        self._folder.write_snapshot()

    def close(self) -> None:
        """Write a snapshot where this store has changed nodes, and close the table; closing twice is fine."""
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
