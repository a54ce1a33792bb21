"""Reading the table: everything that one view sees belongs to one generation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DamagedIndex
from llama_index_ko_rerank.store.connections import in_plain_words
from llama_index_ko_rerank.store.manifest import Manifest
from llama_index_ko_rerank.store.node_rows import NodeRow

VECTOR_TYPE = np.dtype("<f4")
"""Vectors are float32, little-endian on every machine."""

_ROW = "SELECT id, node_id, ref_doc_id, kind, text, metadata, body, content_hash FROM nodes"
_BATCH = 1024
_LENGTH_TOLERANCE = 1e-3


class TableView:
    """What the table holds at one moment, however many writers go on beside it.

    Row ids are SQLite's integers: they grow with every added node and are never used again, so that their order is
    the order in which nodes were added.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self.folder = folder
        with in_plain_words(folder):
            self.manifest = Manifest.read(connection)

    def rows(self, row_ids: Iterable[int]) -> list[NodeRow]:
        """Fetch rows in the order asked for.

        Raises:
            DamagedIndex: A row id is not there.
        """
        found = []
        with in_plain_words(self.folder):
            for row_id in row_ids:
                row = self._connection.execute(_ROW + " WHERE id = ?", (row_id,)).fetchone()
                if row is None:
                    raise DamagedIndex(f"the index in {self.folder} has a vector for row {row_id} and no such node")
                found.append(NodeRow(*row[1:]))
        return found

    def all_rows(self) -> Iterator[NodeRow]:
        """Yield every row in the order of addition, a batch in memory at a time."""
        with in_plain_words(self.folder):
            cursor = self._connection.execute(_ROW + " ORDER BY id")
            while batch := cursor.fetchmany(_BATCH):
                for row in batch:
                    yield NodeRow(*row[1:])

    def row_ids_of_nodes(self, node_ids: Iterable[str]) -> list[int]:
        """Find the row ids of node ids, in the order asked for; unknown ones are left out."""
        return self._row_ids("SELECT id FROM nodes WHERE node_id = ?", node_ids)

    def row_ids_of_documents(self, ref_doc_ids: Iterable[str]) -> list[int]:
        """Find the row ids of all nodes of some documents; unknown ones are left out."""
        return self._row_ids("SELECT id FROM nodes WHERE ref_doc_id = ? ORDER BY id", ref_doc_ids)

    def deleted_since(self, generation: int) -> NDArray[np.int64]:
        """List the row ids that were deleted after a generation, which must not be before the log's start."""
        with in_plain_words(self.folder):
            rows = self._connection.execute("SELECT id FROM deleted_nodes WHERE generation > ?", (generation,))
            return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def vectors_after(self, row_id: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Read the vectors of all rows past a row id; past 0 is all of them.

        Returns:
            Row ids, ascending, and vectors of unit length, shape (rows, dimension).

        Raises:
            DamagedIndex: A vector has another dimension than the manifest says, or is not of unit length.
        """
        ids: list[int] = []
        blocks: list[NDArray[np.float32]] = []
        width = (self.manifest.dimension or 0) * VECTOR_TYPE.itemsize
        with in_plain_words(self.folder):
            cursor = self._connection.execute("SELECT id, vector FROM vectors WHERE id > ? ORDER BY id", (row_id,))
            while batch := cursor.fetchmany(_BATCH):
                ids.extend(row[0] for row in batch)
                if any(len(row[1]) != width for row in batch):
                    raise DamagedIndex(f"the index in {self.folder} holds a vector that is not of {width} bytes")
                joined = b"".join(row[1] for row in batch)
                blocks.append(np.frombuffer(joined, dtype=VECTOR_TYPE).reshape(len(batch), -1))
        vectors = np.concatenate(blocks) if blocks else np.empty((0, self.manifest.dimension or 0), np.float32)
        vectors = vectors.astype(np.float32, copy=False)
        if not (np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < _LENGTH_TOLERANCE).all():
            raise DamagedIndex(f"the index in {self.folder} holds a vector that was overwritten; its length is not 1")
        return np.asarray(ids, dtype=np.int64), vectors

    def _row_ids(self, query: str, keys: Iterable[str]) -> list[int]:
        with in_plain_words(self.folder):
            return [row[0] for key in keys for row in self._connection.execute(query, (key,))]
