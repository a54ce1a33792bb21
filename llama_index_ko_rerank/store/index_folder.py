"""One folder as one index: the table, the FAISS index that follows it, and the snapshot between two openings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.schema import BaseNode
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DimensionMismatch, StoreError
from llama_index_ko_rerank.store.live_index import LiveIndex
from llama_index_ko_rerank.store.manifest import check_model
from llama_index_ko_rerank.store.node_rows import NodeRow, to_rows
from llama_index_ko_rerank.store.node_table import Mode, NodeTable
from llama_index_ko_rerank.store.snapshots import discard_snapshots, read_snapshot, write_snapshot
from llama_index_ko_rerank.store.table_view import TableView
from llama_index_ko_rerank.store.table_writer import TableWriter
from llama_index_ko_rerank.store.unit_vectors import unit_vectors

logger = logging.getLogger(__name__)


class IndexFolder:
    """Read, change and search an index, in which the model is checked at every door.

    Another process may rebuild the index with another model while this one has it open; whatever is asked next then
    raises `ModelMismatch`.
    """

    def __init__(self, folder: Path, *, mode: Mode, embedding_identity: Mapping[str, Any] | None) -> None:
        """Open a folder as `NodeTable` does, and check the model."""
        self._identity = embedding_identity
        self._live = LiveIndex()
        self._has_changed = False
        self._is_open = True
        self.table = NodeTable(folder, mode=mode, embedding_identity=embedding_identity)
        try:
            with self.read():
                pass
        except StoreError:
            self.table.close()
            raise

    @contextmanager
    def read(self) -> Iterator[TableView]:
        """Give a view of the newest generation."""
        with self.table.read() as view:
            check_model(view.manifest.embedding_identity, self._identity, self.table.folder)
            yield view

    @contextmanager
    def transaction(self) -> Iterator[TableWriter]:
        """Give a writer whose changes are kept together, or none of them where the block raises."""
        with self.table.transaction() as writer:
            check_model(writer.manifest().embedding_identity, self._identity, self.table.folder)
            yield writer
            self._has_changed |= writer.has_changed

    def start_over(self, *, embedding_identity: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
        """Delete all nodes and record another model and other settings, as a part of the transaction around it."""
        with self.table.transaction() as writer:
            writer.start_over(embedding_identity=embedding_identity, settings=settings)
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
        vectors = unit_vectors([node.embedding for node in nodes], [f"node {row.node_id!r}" for row in rows])
        with self.transaction() as writer:
            writer.upsert(rows, vectors)

    def search(
        self,
        query: NDArray[np.float32],
        *,
        top_k: int,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
    ) -> tuple[list[NodeRow], list[float]]:
        """Find the nearest nodes by cosine, exactly, in the newest generation.

        Args:
            query: Of unit length, shape (dimension,).
            top_k: At least 1.
            node_ids: Only these nodes may be found, where there are any; unknown ones are left aside.
            ref_doc_ids: Only nodes of these documents may be found, where there are any.

        Returns:
            Rows and cosines, best first; equal cosines in the order of addition.

        Raises:
            DimensionMismatch: The index holds vectors of another length.
        """
        while True:
            with self.read() as view:
                dimension = view.manifest.dimension
                if dimension is None:
                    return [], []
                if len(query) != dimension:
                    raise DimensionMismatch(
                        f"the index in {view.folder} holds {dimension}-d vectors, and the query has {len(query)}-d; "
                        "search with the model that it was built with"
                    )
                allowed = _allowed(view, node_ids, ref_doc_ids)
                with self._live.at(view) as index:
                    if index is not None:
                        row_ids, cosines = index.search(query, top_k=top_k, allowed=allowed)
                        return view.rows(row_ids.tolist()), cosines.tolist()

    def write_snapshot(self) -> None:
        """Write the FAISS index beside the table, unless it lies there whole, and merge SQLite's log into the table.

        Raises:
            StoreError: The snapshot could not be written, or another writer is at work; the nodes are safe.
        """
        if self.table.read_only:
            return
        # Under the write lock the generation cannot move on while its snapshot is written.
        with self.table.transaction() as writer, self.read() as view:
            generation = view.manifest.generation
            if view.manifest.dimension is not None and not _is_on_disk(view):
                with self._live.at(view) as index:
                    if index is not None:
                        writer.record_snapshot(generation, write_snapshot(view.folder, generation, index.to_bytes()))
        # The old file may go only when the table names the new one for certain, and while nobody writes another.
        with self.table.transaction() as writer:
            discard_snapshots(self.table.folder, keep=writer.manifest().snapshot_generation)
        self.table.merge_log()
        self._has_changed = False

    def close(self) -> None:
        """Write a snapshot where nodes were changed from here, and close; closing twice is fine."""
        if self._is_open and self._has_changed:
            try:
                self.write_snapshot()
            except StoreError as problem:
                logger.warning("%s was closed without a new snapshot: %s", self.table.folder, problem)
        self._is_open = False
        self.table.close()


def _is_on_disk(view: TableView) -> bool:
    manifest = view.manifest
    if manifest.snapshot_generation != manifest.generation or manifest.snapshot_sha256 is None:
        return False
    return read_snapshot(view.folder, manifest.generation, manifest.snapshot_sha256) is not None


def _allowed(
    view: TableView, node_ids: Sequence[str] | None, ref_doc_ids: Sequence[str] | None
) -> NDArray[np.int64] | None:
    """List the row ids that both restrictions leave; None where there is no restriction."""
    chosen: set[int] | None = None
    if node_ids:
        chosen = set(view.row_ids_of_nodes(node_ids))
    if ref_doc_ids:
        of_documents = set(view.row_ids_of_documents(ref_doc_ids))
        chosen = of_documents if chosen is None else chosen & of_documents
    return None if chosen is None else np.array(sorted(chosen), dtype=np.int64)
