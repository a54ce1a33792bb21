"""Folder of an index: the table, the FAISS index that is derived from it, and the snapshot between two openings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DimensionMismatch, InvalidSetting, KoRerankError, StoreError
from llama_index_ko_rerank.store.faiss.cached_index import IndexCache
from llama_index_ko_rerank.store.faiss.index import VectorIndex
from llama_index_ko_rerank.store.faiss.normalize import normalize_embeddings
from llama_index_ko_rerank.store.faiss.snapshots import discard_snapshots, read_snapshot, to_bytes, write_snapshot
from llama_index_ko_rerank.store.filters import Group, matches_compiled
from llama_index_ko_rerank.store.metadata_index import MetadataIndex, mask_and, mask_from_ids
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, read_metadata, to_rows
from llama_index_ko_rerank.store.sqlite.schema import check_model
from llama_index_ko_rerank.store.sqlite.table import Mode, NodeTable
from llama_index_ko_rerank.store.sqlite.writer import TableWriter

logger = logging.getLogger(__name__)


class IndexFolder:
    """One index on disk: read, changed and searched; the model is checked at every access.

    Another process may rebuild the index with another model while this one has it open; the next call then
    raises `ModelMismatch`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode,
        embedding_identity: Mapping[str, Any] | None,
        vector_dtype: VectorType | None = None,
        index_settings: IndexSettings | None = None,
    ) -> None:
        """Open a folder as `NodeTable` does, check the model, and record other index settings where they are given.

        Raises:
            InvalidSetting: The index keeps its vectors by another ``vector_dtype``.
        """
        self._identity = embedding_identity
        self._cache = IndexCache()
        self._metadata = MetadataIndex()
        self._has_changed = False
        self._is_open = True
        self.table = NodeTable(
            folder,
            mode=mode,
            embedding_identity=embedding_identity,
            vector_dtype=vector_dtype or "float32",
            index_settings=index_settings,
        )
        try:
            self._reconcile_settings(vector_dtype, index_settings)
        except KoRerankError:
            self.table.close()
            raise

    @contextmanager
    def read(self) -> Iterator[TableReader]:
        """Give a reader of the newest generation."""
        with self.table.read() as reader:
            check_model(reader.manifest.embedding_identity, self._identity, self.table.folder)
            yield reader

    @contextmanager
    def transaction(self) -> Iterator[TableWriter]:
        """Give a writer whose changes are kept together, or none of them where the block raises."""
        with self.table.transaction() as writer:
            check_model(writer.manifest().embedding_identity, self._identity, self.table.folder)
            yield writer
            self._has_changed |= writer.has_changed

    def reset(
        self,
        *,
        embedding_identity: Mapping[str, Any] | None,
        settings: Mapping[str, Any],
        vector_dtype: VectorType = "float32",
        index_settings: IndexSettings | None = None,
    ) -> None:
        """Delete all nodes and record another model and other settings, as a part of the transaction around it."""
        with self.table.transaction() as writer:
            writer.reset(
                embedding_identity=embedding_identity,
                settings=settings,
                vector_dtype=vector_dtype,
                index_settings=index_settings,
            )
        self._identity = embedding_identity

    def add(self, nodes: Sequence[BaseNode]) -> None:
        """Add nodes with their embeddings, or replace those that have their ids, in one transaction.

        Raises:
            DuplicateNodeId, InvalidNode, InvalidText, InvalidVector, DimensionMismatch: Before anything is written.
            StoreError: It could not be written; then nothing was.
        """
        if not nodes:
            return
        rows = to_rows(nodes)
        vectors = normalize_embeddings([node.embedding for node in nodes], [f"node {row.node_id!r}" for row in rows])
        with self.transaction() as writer:
            writer.upsert(rows, vectors)

    def delete_nodes(self, node_ids: Sequence[str] | None, condition: Group | None) -> int:
        """Delete the nodes that ids and a condition leave, where they are given, in one transaction.

        Returns:
            How many there were.
        """
        with self.transaction() as writer:
            return writer.delete_rows(_matching_rows(writer.reader(), node_ids, condition))

    def rows(self, node_ids: Sequence[str] | None, condition: Group | None) -> list[NodeRow]:
        """Read the rows that ids and a condition leave, in the order of the ids or of addition."""
        with self.read() as reader:
            return reader.rows(_matching_rows(reader, node_ids, condition))

    def search(
        self,
        query: NDArray[np.float32],
        *,
        top_k: int,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
        condition: Group | None = None,
    ) -> tuple[list[NodeRow], list[float]]:
        """Find the nearest nodes by cosine in the newest generation.

        Args:
            query: Of unit length, shape (dimension,).
            top_k: At least 1.
            node_ids: Only these nodes may be found, where there are any; unknown ones are left aside.
            ref_doc_ids: Only nodes of these documents may be found, where there are any.
            condition: Only nodes whose metadata meet it may be found.

        Returns:
            Rows and cosines, best first; equal cosines in the order of addition.

        Raises:
            DimensionMismatch: The index holds vectors of another length.
            InvalidFilter: The condition cannot be applied to the metadata of a node.
        """
        while True:
            with self.read() as reader:
                dimension = reader.manifest.dimension
                if dimension is None:
                    return [], []
                if len(query) != dimension:
                    raise DimensionMismatch(
                        f"the index in {reader.folder} holds {dimension}-d vectors, and the query has {len(query)}-d; "
                        "search with the model that it was built with"
                    )
                allowed = _id_mask(reader, node_ids, ref_doc_ids)
                if condition is not None:
                    allowed = self._metadata.filter_mask(reader, condition, allowed)
                with self._cache.get(reader) as index:
                    if index is not None:
                        row_ids, cosines = index.search(
                            query, top_k=top_k, fetch_vectors=reader.vectors_of, allowed=allowed
                        )
                        return reader.rows(row_ids.tolist()), cosines.tolist()

    def write_snapshot(self) -> None:
        """Write the FAISS index beside the table, unless it lies there whole, and merge SQLite's log into the table.

        A flat index is not written: reading its vectors from the table takes 0.1 s for 50,000 of 256 numbers and 0.8 s
        for 186,223 of 512, and a file of them would take their room once more. An index that was outgrown is
        made anew.

        Raises:
            IndexBusy: Another writer is at work.
            DiskFull, StoreError: The snapshot could not be written; the nodes are safe.
        """
        if self.table.read_only:
            return
        # What may take minutes is done before the write lock is taken, so that nobody waits for it.
        with self.read() as reader:
            if _needs_a_file(reader):
                with self._cache.get(reader, rebuild=True):
                    pass
        # Under the write lock the generation cannot move on while its snapshot is written.
        with self.table.transaction() as writer, self.read() as reader:
            if reader.manifest.dimension is not None:
                self._snapshot(writer, reader)
        # The old file may go only when the table names the new one for certain, and while nobody writes another.
        with self.table.transaction() as writer:
            manifest = writer.manifest()
            keep = None if manifest.snapshot_sha256 is None else manifest.snapshot_generation
            discard_snapshots(self.table.folder, keep=keep)
        self.table.checkpoint_wal()
        self._has_changed = False

    def close(self) -> None:
        """Write a snapshot where nodes were changed from here, and close; closing twice is fine."""
        if self._is_open and self._has_changed:
            try:
                self.write_snapshot()
            except StoreError as error:
                logger.warning("%s was closed without a new snapshot: %s", self.table.folder, error)
        self._is_open = False
        self.table.close()

    def _reconcile_settings(self, vector_dtype: VectorType | None, index_settings: IndexSettings | None) -> None:
        with self.read() as reader:
            manifest = reader.manifest
        if vector_dtype not in (None, manifest.vector_dtype) and manifest.complete:
            raise InvalidSetting(
                f"the index in {self.table.folder} keeps vectors as {manifest.vector_dtype} and not {vector_dtype}; "
                "leave vector_dtype out, or build the index again with build_index(..., overwrite=True)"
            )
        if index_settings not in (None, manifest.index_settings) and manifest.complete:
            with self.transaction() as writer:
                writer.record_index_settings(index_settings)
            self._has_changed = True

    def _snapshot(self, writer: TableWriter, reader: TableReader) -> None:
        generation = reader.manifest.generation
        if not _needs_a_file(reader):
            if (reader.manifest.snapshot_generation, reader.manifest.snapshot_sha256) != (generation, None):
                writer.record_snapshot(generation, None)
            return
        with self._cache.get(reader, rebuild=True) as index:
            if index is not None and not _is_on_disk(reader, index):
                writer.record_snapshot(generation, write_snapshot(reader.folder, generation, to_bytes(index)))


def _needs_a_file(reader: TableReader) -> bool:
    manifest = reader.manifest
    return manifest.index_settings.kind_for(manifest.node_count, manifest.dimension or 0) != "flat"


def _is_on_disk(reader: TableReader, index: VectorIndex) -> bool:
    manifest = reader.manifest
    if manifest.snapshot_generation != manifest.generation or manifest.snapshot_sha256 is None:
        return False
    payload = read_snapshot(reader.folder, manifest.generation, manifest.snapshot_sha256)
    return payload is not None and payload == to_bytes(index)


def _id_mask(
    reader: TableReader, node_ids: Sequence[str] | None, ref_doc_ids: Sequence[str] | None
) -> NDArray[np.bool_] | None:
    """Say of each row id whether both restrictions allow it; None where there is no restriction."""
    allowed: NDArray[np.bool_] | None = None
    if node_ids:
        allowed = mask_from_ids(reader.row_ids_of_nodes(node_ids))
    if ref_doc_ids:
        of_documents = mask_from_ids(reader.row_ids_of_documents(ref_doc_ids))
        allowed = of_documents if allowed is None else mask_and(allowed, of_documents)
    return allowed


def _matching_rows(reader: TableReader, node_ids: Sequence[str] | None, condition: Group | None) -> list[int]:
    """Find the rows that ids and a condition allow, in the order of the ids or of addition."""
    if node_ids is None:
        every = reader.metadata_after(0)
        return [row_id for row_id, source, metadata in every if _passes(condition, metadata, source)]
    row_ids = reader.row_ids_of_nodes(node_ids)
    if condition is None:
        return row_ids
    return [
        row_id
        for row_id, row in zip(row_ids, reader.rows(row_ids), strict=True)
        if _passes(condition, read_metadata(row.node_id, row.metadata), row.ref_doc_id)
    ]


def _passes(condition: Group | None, metadata: Mapping[str, Any], ref_doc_id: str | None) -> bool:
    return condition is None or matches_compiled(condition, metadata, ref_doc_id=ref_doc_id)
