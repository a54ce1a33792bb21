"""The FAISS index that follows the table from generation to generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.faiss.index import VectorIndex, training_size
from llama_index_ko_rerank.store.faiss.serialization import from_bytes
from llama_index_ko_rerank.store.faiss.snapshots import read_snapshot
from llama_index_ko_rerank.store.sqlite.reader import TableReader


class ReadWriteLock:
    """Let searches run side by side, and a refresh run alone.

    Whoever waits to have it alone goes before those who come later to share it, so that a refresh is never starved.
    It must not be taken again by the thread that holds it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with others."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock with nobody else."""
        with self._condition:
            self._waiting += 1
            try:
                self._condition.wait_for(lambda: not self._alone and not self._sharing)
            finally:
                self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()


logger = logging.getLogger(__name__)

_TRAINING_SEED = 1
_RENEWED_BY_A_SEARCH = 4096


class IndexCache:
    """Hold one `VectorIndex` for all threads and bring it to the generation that a view asks for.

    The first use reads the snapshot that the table names, if its checksum is the recorded one and its settings are the
    table's. An index of an earlier generation, be it a snapshot's or the one in memory, is brought up to date by what
    the table's log says was deleted and by the rows that were added; where the log does not reach back, or the counts
    then differ, all vectors are read from the table.
    """

    def __init__(self) -> None:
        self._lock = ReadWriteLock()
        self._index: VectorIndex | None = None

    @contextmanager
    def at(self, view: TableReader, *, renew: bool = False) -> Iterator[VectorIndex | None]:
        """Give the index of exactly the view's generation, unchanged while the block runs.

        Gives None where another thread has brought the index further already: take a newer view then. The view's
        table must have had a node at some time, so that the length of the vectors is known.

        Args:
            view: Whose generation it is.
            renew: Make an index anew that is worn or made by other settings than the table now names, which may take
                minutes. A search does not ask for it, and gets it all the same up to some thousands of vectors: what
                was learned from a handful of them is of no use.
        """
        with self._lock.shared():
            if self._is_at(view, renew=renew):
                yield self._index
                return
        with self._lock.alone():
            if self._index is not None and self._index.generation > view.manifest.generation:
                yield None
                return
            if not self._is_at(view, renew=renew):
                index = self._index
                # What follows may fail half-way; the next search then starts from the table.
                self._index = None
                index = _bring_to(view, index or _from_snapshot(view))
                self._index = _from_table(view) if _should_be_renewed(index, view, renew=renew) else index
            yield self._index

    def _is_at(self, view: TableReader, *, renew: bool) -> bool:
        index = self._index
        if index is None or index.generation != view.manifest.generation:
            return False
        return not _should_be_renewed(index, view, renew=renew)


def _should_be_renewed(index: VectorIndex, view: TableReader, *, renew: bool) -> bool:
    if not renew and view.manifest.node_count > _RENEWED_BY_A_SEARCH:
        return False
    return index.settings != view.manifest.index_settings or index.needs_rebuild()


def _bring_to(view: TableReader, index: VectorIndex | None) -> VectorIndex:
    manifest = view.manifest
    if index is not None and index.dimension == manifest.dimension and manifest.log_starts_at <= index.generation:
        index.remove(view.deleted_since(index.generation))
        for row_ids, vectors in view.vector_blocks(index.last_row_id):
            index.add(row_ids, vectors)
        index.generation = manifest.generation
        if index.count == manifest.node_count:
            return index
        logger.warning("the vectors in memory were %d of %d; reading all of them", index.count, manifest.node_count)
    return _from_table(view)


def _from_table(view: TableReader) -> VectorIndex:
    manifest = view.manifest
    settings, count, dimension = manifest.index_settings, manifest.node_count, manifest.dimension or 0
    index = VectorIndex(settings, dimension, count=count, generation=manifest.generation)
    size = training_size(index.kind, settings, count)
    if size:
        logger.info("building the %s index of %d vectors", index.kind, count)
        index.train(view.sample_of_vectors(size, seed=_TRAINING_SEED))
    for row_ids, vectors in view.vector_blocks(0):
        index.add(row_ids, vectors)
    if index.count != count:
        raise DamagedIndex(
            f"the index in {view.folder} has {index.count} vectors for {count} nodes; restore it from a copy, or build "
            "it again with build_index(..., overwrite=True)"
        )
    logger.info("read %d vectors from the table", index.count)
    return index


def _from_snapshot(view: TableReader) -> VectorIndex | None:
    manifest = view.manifest
    if manifest.snapshot_generation is None or manifest.snapshot_sha256 is None or manifest.dimension is None:
        return None
    if manifest.snapshot_generation < manifest.log_starts_at:
        return None
    payload = read_snapshot(view.folder, manifest.snapshot_generation, manifest.snapshot_sha256)
    if payload is None:
        return None
    try:
        return from_bytes(
            payload,
            settings=manifest.index_settings,
            dimension=manifest.dimension,
            generation=manifest.snapshot_generation,
        )
    except DamagedIndex as problem:
        logger.warning("%s; the vectors are read from the table", problem)
        return None
