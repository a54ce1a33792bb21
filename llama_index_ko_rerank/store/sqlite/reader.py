"""Reader of the table: everything that one reader sees belongs to one generation."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.sqlite.connection import translate_sqlite_errors
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, from_columns, read_metadata
from llama_index_ko_rerank.store.sqlite.schema import Manifest

_ROW = "SELECT node_id, ref_doc_id, kind, metadata, content, content_hash FROM nodes"
_BATCH = 1024
_KEYS_AT_ONCE = 900
_LENGTH_TOLERANCE = 2e-3


class TableReader:
    """Snapshot of the table at one generation, however many writers go on beside it.

    Row ids are SQLite's integers: they grow with every added node and are never used again, so that their order is
    the order in which nodes were added.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self.folder = folder
        with translate_sqlite_errors(folder):
            self.manifest = Manifest.read(connection)

    def rows(self, row_ids: Iterable[int]) -> list[NodeRow]:
        """Fetch rows in the order of the request.

        Raises:
            DamagedIndex: A row id is not there, or its row is not what was written.
        """
        found = []
        with translate_sqlite_errors(self.folder):
            for row_id in row_ids:
                row = self._connection.execute(_ROW + " WHERE id = ?", (row_id,)).fetchone()
                if row is None:
                    raise DamagedIndex(f"the index in {self.folder} has a vector for row {row_id} and no such node")
                found.append(from_columns(row))
        return found

    def all_rows(self) -> Iterator[NodeRow]:
        """Yield every row in the order of addition, a batch in memory at a time.

        Raises:
            DamagedIndex: A row is not what was written.
        """
        with translate_sqlite_errors(self.folder):
            cursor = self._connection.execute(_ROW + " ORDER BY id")
            while batch := cursor.fetchmany(_BATCH):
                for row in batch:
                    yield from_columns(row)

    def damaged_node_ids(self) -> Iterator[str]:
        """Yield the id of every node that is not what was written, reading all of them."""
        with translate_sqlite_errors(self.folder):
            cursor = self._connection.execute(_ROW + " ORDER BY id")
            while batch := cursor.fetchmany(_BATCH):
                for row in batch:
                    try:
                        intact = from_columns(row).is_intact()
                    except DamagedIndex:
                        intact = False
                    if not intact:
                        yield str(row[0])

    def metadata_after(self, row_id: int) -> Iterator[tuple[int, str | None, dict[str, Any]]]:
        """Yield row id, document id and metadata of all rows past a row id, in the order of addition.

        Raises:
            DamagedIndex: Metadata are no JSON any more.
        """
        with translate_sqlite_errors(self.folder):
            query = "SELECT id, ref_doc_id, metadata, node_id FROM nodes WHERE id > ? ORDER BY id"
            cursor = self._connection.execute(query, (row_id,))
            while batch := cursor.fetchmany(_BATCH):
                for found, ref_doc_id, metadata, node_id in batch:
                    yield found, ref_doc_id, read_metadata(node_id, metadata)

    def row_ids_of_nodes(self, node_ids: Iterable[str]) -> list[int]:
        """Find the row ids of node ids, in the order of the request; unknown ones are left out."""
        return self._row_ids("SELECT id FROM nodes WHERE node_id = ?", node_ids)

    def row_ids_of_documents(self, ref_doc_ids: Iterable[str]) -> list[int]:
        """Find the row ids of all nodes of some documents; unknown ones are left out."""
        return self._row_ids("SELECT id FROM nodes WHERE ref_doc_id = ? ORDER BY id", ref_doc_ids)

    def deleted_since(self, generation: int) -> NDArray[np.int64]:
        """List the row ids that were deleted after a generation, which must not be before the log's start."""
        with translate_sqlite_errors(self.folder):
            rows = self._connection.execute("SELECT id FROM deleted_nodes WHERE generation > ?", (generation,))
            return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def vector_blocks(self, row_id: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the vectors of all rows past a row id, a batch in memory at a time; past 0 is all of them.

        Returns:
            Row ids, ascending, and vectors of unit length, shape (rows, dimension).

        Raises:
            DamagedIndex: A vector is not what was written.
        """
        with translate_sqlite_errors(self.folder):
            cursor = self._connection.execute(
                "SELECT id, vector, checksum FROM vectors WHERE id > ? ORDER BY id", (row_id,)
            )
            while batch := cursor.fetchmany(_BATCH):
                yield self._vectors(batch)

    def vectors_of(self, row_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the vectors of some rows, in the order of the request, shape (row ids, dimension).

        Raises:
            DamagedIndex: A vector is missing, or not what `vector_blocks` takes.
        """
        order = np.argsort(row_ids)
        vectors = np.empty((len(row_ids), self.manifest.dimension or 0), np.float32)
        for start in range(0, len(row_ids), _KEYS_AT_ONCE):
            positions = order[start : start + _KEYS_AT_ONCE]
            marks = ",".join("?" * len(positions))
            query = f"SELECT id, vector, checksum FROM vectors WHERE id IN ({marks}) ORDER BY id"  # noqa: S608  # only marks
            with translate_sqlite_errors(self.folder):
                found = self._connection.execute(query, row_ids[positions].tolist()).fetchall()
            if len(found) != len(positions):
                raise DamagedIndex(f"the index in {self.folder} lacks vectors of its nodes; restore it from a copy")
            vectors[positions] = self._vectors(found)[1]
        return vectors

    def sample_of_vectors(self, size: int, *, seed: int) -> NDArray[np.float32]:
        """Read so many vectors chosen at random, or all where there are fewer."""
        with translate_sqlite_errors(self.folder):
            row_ids = np.fromiter((row[0] for row in self._connection.execute("SELECT id FROM vectors")), np.int64)
        if size < len(row_ids):
            row_ids = np.sort(np.random.default_rng(seed).choice(row_ids, size, replace=False))
        return self.vectors_of(row_ids)

    def has_any(self, row_ids: Iterable[int]) -> bool:
        """Say whether one of these rows is there."""
        with translate_sqlite_errors(self.folder):
            query = "SELECT 1 FROM nodes WHERE id = ?"
            return any(self._connection.execute(query, (row_id,)).fetchone() for row_id in row_ids)

    def node_count(self) -> int:
        """Count the nodes that are there, whatever the manifest says."""
        return self._number("SELECT COUNT(*) FROM nodes")

    def vector_count(self) -> int:
        """Count the vectors that are there."""
        return self._number("SELECT COUNT(*) FROM vectors")

    def unpaired(self) -> tuple[int, int]:
        """Count the nodes without a vector, and the vectors without a node."""
        return (
            self._number("SELECT COUNT(*) FROM nodes WHERE id NOT IN (SELECT id FROM vectors)"),
            self._number("SELECT COUNT(*) FROM vectors WHERE id NOT IN (SELECT id FROM nodes)"),
        )

    def sqlite_problems(self) -> list[str]:
        """Let SQLite read all of its pages and compare its indexes with the tables."""
        with translate_sqlite_errors(self.folder):
            lines = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        return [] if lines == ["ok"] else lines

    def _number(self, query: str) -> int:
        with translate_sqlite_errors(self.folder):
            return int(self._connection.execute(query).fetchone()[0])

    def _row_ids(self, query: str, keys: Iterable[str]) -> list[int]:
        with translate_sqlite_errors(self.folder):
            return [row[0] for key in keys for row in self._connection.execute(query, (key,))]

    def _vectors(self, batch: Sequence[tuple[int, bytes, int]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        stored = np.dtype(self.manifest.vector_dtype).newbyteorder("<")
        width = (self.manifest.dimension or 0) * stored.itemsize
        for row_id, blob, checksum in batch:
            if len(blob) != width or zlib.crc32(blob) != checksum:
                raise self._overwritten(row_id)
        joined = b"".join(blob for _, blob, _ in batch)
        vectors = np.frombuffer(joined, dtype=stored).reshape(len(batch), -1).astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        odd = np.flatnonzero(~(np.abs(squares - 1) < _LENGTH_TOLERANCE))
        if odd.size:
            raise self._overwritten(batch[odd[0]][0])
        if self.manifest.vector_dtype == "float16":
            vectors = vectors / np.sqrt(squares)[:, np.newaxis]
        return np.fromiter((row_id for row_id, _, _ in batch), dtype=np.int64, count=len(batch)), vectors

    def _overwritten(self, row_id: int) -> DamagedIndex:
        return DamagedIndex(
            f"the vector of row {row_id} in {self.folder} is not what was written; restore the index from a copy, or "
            "build it again with build_index(..., overwrite=True)"
        )
