"""Cache of the FAISS index, brought up to date with the table at every search."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.faiss.index import VectorIndex
from llama_index_ko_rerank.store.faiss.snapshots import from_bytes, read_snapshot
from llama_index_ko_rerank.store.sqlite.reader import TableReader

logger = logging.getLogger(__name__)

_TRAINING_SEED = 1
_REBUILT_BY_A_SEARCH = 4096


class ReadWriteLock:
    """Lock that many searches hold side by side, and one refresh alone.

    A waiting writer goes before readers who come later, so that a refresh is never starved. The thread that holds it
    must not take it again.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._waiting_writers = 0
        self._is_written = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._condition:
            self._condition.wait_for(lambda: not self._is_written and not self._waiting_writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold the lock with nobody else."""
        with self._condition:
            self._waiting_writers += 1
            try:
                self._condition.wait_for(lambda: not self._is_written and not self._readers)
            finally:
                self._waiting_writers -= 1
            self._is_written = True
        try:
            yield
        finally:
            with self._condition:
                self._is_written = False
                self._condition.notify_all()


class IndexCache:
    """One `VectorIndex` for all threads, brought to the generation of the reader that asks for it.

    The first use reads the snapshot that the table names, if its checksum is the recorded one and its settings are the
    table's. An index of an earlier generation, be it a snapshot's or the one in memory, is brought up to date by what
    the table's log says was deleted and by the rows that were added; where the log does not reach back, or the counts
    then differ, all vectors are read from the table.
    """

    def __init__(self) -> None:
        self._lock = ReadWriteLock()
        self._index: VectorIndex | None = None

    @contextmanager
    def get(self, reader: TableReader, *, rebuild: bool = False) -> Iterator[VectorIndex | None]:
        """Give the index of exactly the reader's generation, unchanged while the block runs.

        Gives None where another thread has brought the index further already: take a newer reader then. The table must
        have had a node at some time, so that the length of the vectors is known.

        Args:
            reader: The generation is its.
            rebuild: Make an outgrown index, or one by other settings than the table now names, anew, which may take
                minutes. A search leaves it out, and up to some thousands of vectors the index is made anew all the
                same: what was learned from a handful of them is of no use.
        """
        with self._lock.read():
            if self._is_current(reader, rebuild=rebuild):
                yield self._index
                return
        with self._lock.write():
            if self._index is not None and self._index.generation > reader.manifest.generation:
                yield None
                return
            if not self._is_current(reader, rebuild=rebuild):
                index = self._index
                # What follows may fail half-way; the next search then starts from the table.
                self._index = None
                index = _catch_up(reader, index or _from_snapshot(reader))
                self._index = _from_table(reader) if _needs_rebuild(index, reader, rebuild=rebuild) else index
            yield self._index

    def _is_current(self, reader: TableReader, *, rebuild: bool) -> bool:
        index = self._index
        if index is None or index.generation != reader.manifest.generation:
            return False
        return not _needs_rebuild(index, reader, rebuild=rebuild)


def _needs_rebuild(index: VectorIndex, reader: TableReader, *, rebuild: bool) -> bool:
    if not rebuild and reader.manifest.node_count > _REBUILT_BY_A_SEARCH:
        return False
    return index.settings != reader.manifest.index_settings or index.needs_rebuild()


def _catch_up(reader: TableReader, index: VectorIndex | None) -> VectorIndex:
    manifest = reader.manifest
    if index is not None and index.dimension == manifest.dimension and manifest.log_starts_at <= index.generation:
        index.remove(reader.deleted_since(index.generation))
        for row_ids, vectors in reader.vector_blocks(index.last_row_id):
            index.add(row_ids, vectors)
        index.generation = manifest.generation
        if index.count == manifest.node_count:
            return index
        logger.warning("the vectors in memory were %d of %d; reading all of them", index.count, manifest.node_count)
    return _from_table(reader)


def _from_table(reader: TableReader) -> VectorIndex:
    manifest = reader.manifest
    count = manifest.node_count
    index = VectorIndex(manifest.index_settings, manifest.dimension or 0, count=count, generation=manifest.generation)
    if index.training_size:
        logger.info("building the %s index of %d vectors", index.kind, count)
        index.train(reader.sample_of_vectors(index.training_size, seed=_TRAINING_SEED))
    for row_ids, vectors in reader.vector_blocks(0):
        index.add(row_ids, vectors)
    if index.count != count:
        raise DamagedIndex(
            f"the index in {reader.folder} has {index.count} vectors for {count} nodes; restore it from a copy, or "
            "build it again with build_index(..., overwrite=True)"
        )
    logger.info("read %d vectors from the table", index.count)
    return index


def _from_snapshot(reader: TableReader) -> VectorIndex | None:
    manifest = reader.manifest
    generation, sha256 = manifest.snapshot_generation, manifest.snapshot_sha256
    if generation is None or sha256 is None or manifest.dimension is None or generation < manifest.log_starts_at:
        return None
    payload = read_snapshot(reader.folder, generation, sha256)
    if payload is None:
        return None
    try:
        return from_bytes(
            payload, settings=manifest.index_settings, dimension=manifest.dimension, generation=generation
        )
    except DamagedIndex as error:
        logger.warning("%s; the vectors are read from the table", error)
        return None
