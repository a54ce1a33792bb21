"""The FAISS index that follows the table from generation to generation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.shared_lock import SharedLock
from llama_index_ko_rerank.store.snapshots import read_snapshot
from llama_index_ko_rerank.store.table_view import TableView
from llama_index_ko_rerank.store.vector_index import VectorIndex

logger = logging.getLogger(__name__)


class LiveIndex:
    """Hold one `VectorIndex` for all threads and bring it to the generation that a view asks for.

    The first use reads the snapshot that the table names, if its checksum is the recorded one. An index of an earlier
    generation, be it a snapshot's or the one in memory, is brought up to date by what the table's log says was deleted
    and by the rows that were added; where the log does not reach back, or the counts then differ, all vectors are read
    from the table.
    """

    def __init__(self) -> None:
        self._lock = SharedLock()
        self._index: VectorIndex | None = None

    @contextmanager
    def at(self, view: TableView) -> Iterator[VectorIndex | None]:
        """Give the index of exactly the view's generation, unchanged while the block runs.

        Gives None where another thread has brought the index further already: take a newer view then. The view's
        table must have had a node at some time, so that the length of the vectors is known.
        """
        with self._lock.shared():
            if self._index is not None and self._index.generation == view.manifest.generation:
                yield self._index
                return
        with self._lock.alone():
            if self._index is not None and self._index.generation > view.manifest.generation:
                yield None
                return
            index = self._index
            # What follows may fail half-way; the next search then starts from the table.
            self._index = None
            self._index = _bring_to(view, index or _from_snapshot(view))
            yield self._index


def _bring_to(view: TableView, index: VectorIndex | None) -> VectorIndex:
    manifest = view.manifest
    if index is not None and index.dimension == manifest.dimension and manifest.log_starts_at <= index.generation:
        index.remove(view.deleted_since(index.generation))
        index.add(*view.vectors_after(index.last_row_id))
        index.generation = manifest.generation
        if index.count == manifest.node_count:
            return index
        logger.warning("the vectors in memory were %d of %d; reading all of them", index.count, manifest.node_count)
    return _from_table(view)


def _from_table(view: TableView) -> VectorIndex:
    row_ids, vectors = view.vectors_after(0)
    if len(row_ids) != view.manifest.node_count:
        raise DamagedIndex(
            f"the index has {len(row_ids)} vectors for {view.manifest.node_count} nodes; restore it from a copy, or "
            "build it again with build_index(..., overwrite=True)"
        )
    index = VectorIndex(vectors.shape[1], generation=view.manifest.generation)
    index.add(row_ids, vectors)
    logger.info("read %d vectors from the table", len(row_ids))
    return index


def _from_snapshot(view: TableView) -> VectorIndex | None:
    manifest = view.manifest
    if manifest.snapshot_generation is None or manifest.snapshot_sha256 is None or manifest.dimension is None:
        return None
    if manifest.snapshot_generation < manifest.log_starts_at:
        return None
    payload = read_snapshot(view.folder, manifest.snapshot_generation, manifest.snapshot_sha256)
    if payload is None:
        return None
    try:
        return VectorIndex.from_bytes(payload, dimension=manifest.dimension, generation=manifest.snapshot_generation)
    except DamagedIndex as problem:
        logger.warning("%s; the vectors are read from the table", problem)
        return None
