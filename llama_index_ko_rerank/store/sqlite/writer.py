"""Changing the table, inside one transaction."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DimensionMismatch, StoreError
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.sqlite.connection import translate_sqlite_errors
from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.rows import NodeRow, to_columns
from llama_index_ko_rerank.store.sqlite.schema import Manifest, as_json


class TableWriter:
    """The changes of one transaction; all of them together are one generation.

    What a method changes is seen by its own later calls at once, and by everybody else when the transaction ends.

    Attributes:
        has_changed: Whether nodes were added or deleted so far.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._generation = self.manifest().generation + 1
        self.has_changed = False

    def manifest(self) -> Manifest:
        """Read the manifest as this transaction has made it."""
        with self._executing():
            return Manifest.read(self._connection)

    def reader(self) -> TableReader:
        """Give a reader of the table as this transaction has made it so far."""
        return TableReader(self._connection, self._folder)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did where it raises, and nothing else of the transaction."""
        with self._executing():
            self._connection.execute("SAVEPOINT inner")
        try:
            yield
        except BaseException:
            # On a full disk SQLite has undone the whole transaction already, and there is no savepoint to go back to.
            if self._connection.in_transaction:
                with self._executing():
                    self._connection.execute("ROLLBACK TO inner")
                    self._connection.execute("RELEASE inner")
            raise
        with self._executing():
            self._connection.execute("RELEASE inner")

    def commit(self) -> None:
        """Make the changes durable and visible to everybody."""
        with self._executing():
            self._connection.execute("COMMIT")

    def upsert(self, rows: Sequence[NodeRow], vectors: NDArray[np.float32]) -> None:
        """Add nodes at the end of the order, after deleting those that have their ids.

        Args:
            rows: No two with one node id; at least one.
            vectors: One of unit length for each row, shape (rows, dimension).

        Raises:
            DimensionMismatch: The index holds vectors of another length.
        """
        manifest = self.manifest()
        dimension = manifest.dimension
        if dimension is not None and vectors.shape[1] != dimension:
            raise DimensionMismatch(
                f"the index in {self._folder} holds {dimension}-d vectors, and the nodes have {vectors.shape[1]}-d "
                "ones; build the index again, or pass the model it was built with"
            )
        with self._executing():
            self._delete_where("node_id = ?", [row.node_id for row in rows])
            first = self._next_row_id()
            self._connection.executemany(
                "INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((first + n, *to_columns(row)) for n, row in enumerate(rows)),
            )
            blobs = vectors.astype(np.dtype(manifest.vector_dtype).newbyteorder("<"), order="C", copy=False)
            self._connection.executemany(
                "INSERT INTO vectors VALUES (?, ?, ?)",
                ((first + n, blob.tobytes(), zlib.crc32(blob)) for n, blob in enumerate(blobs)),
            )
            self._connection.execute("UPDATE manifest SET dimension = ?", (vectors.shape[1],))
            self._note_change(len(rows))

    def delete_nodes(self, node_ids: Iterable[str]) -> int:
        """Delete nodes by id, leaving unknown ids aside, and return how many there were."""
        with self._executing():
            return self._delete_where("node_id = ?", node_ids)

    def delete_rows(self, row_ids: Iterable[int]) -> int:
        """Delete nodes by row id, leaving unknown ones aside, and return how many there were."""
        with self._executing():
            return self._delete_where("id = ?", row_ids)

    def delete_documents(self, ref_doc_ids: Iterable[str]) -> int:
        """Delete all nodes of some documents, leaving unknown ones aside, and return how many there were."""
        with self._executing():
            return self._delete_where("ref_doc_id = ?", ref_doc_ids)

    def clear(self) -> None:
        """Delete all nodes; the model stays recorded, the length of the vectors is open again."""
        with self._executing():
            count = self.manifest().node_count
            for table in ("nodes", "vectors", "deleted_nodes"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608  # own names
            self._connection.execute(
                "UPDATE manifest SET dimension = NULL, log_starts_at = ?, snapshot_generation = NULL",
                (self._generation,),
            )
            self._note_change(-count)

    def reset(
        self,
        *,
        embedding_identity: Mapping[str, Any] | None,
        settings: Mapping[str, Any],
        vector_dtype: VectorType = "float32",
        index_settings: IndexSettings | None = None,
    ) -> None:
        """Delete all nodes and record another model and other settings; the index is complete with the transaction."""
        self.clear()
        with self._executing():
            self._connection.execute(
                "UPDATE manifest SET embedding_identity = ?, settings = ?, vector_dtype = ?, complete = 1",
                (as_json(embedding_identity), as_json(settings), vector_dtype),
            )
        self.record_index_settings(index_settings or IndexSettings())

    def record_index_settings(self, index_settings: IndexSettings) -> None:
        """Note which FAISS index is to be made from now on; nodes and generation stay as they are."""
        with self._executing():
            self._connection.execute("UPDATE manifest SET index_settings = ?", (as_json(index_settings.as_dict()),))

    def record_snapshot(self, generation: int, sha256: str | None) -> None:
        """Note a snapshot that is safe on disk, and forget deletions from before the one that it replaces.

        A checksum of None says that the index of this generation needs no file: it is made from the table in no time.
        """
        with self._executing():
            before = self.manifest()
            starts_at = max(before.log_starts_at, before.snapshot_generation or 0)
            self._connection.execute("DELETE FROM deleted_nodes WHERE generation <= ?", (starts_at,))
            self._connection.execute(
                "UPDATE manifest SET snapshot_generation = ?, snapshot_sha256 = ?, log_starts_at = ?",
                (generation, sha256, starts_at),
            )

    @contextmanager
    def _executing(self) -> Iterator[None]:
        if not self._connection.in_transaction:
            raise StoreError(f"this change of the index in {self._folder} failed before and was undone as a whole")
        with translate_sqlite_errors(self._folder):
            yield

    def _delete_where(self, condition: str, keys: Iterable[str] | Iterable[int]) -> int:
        deleted = 0
        for key in keys:
            found = self._connection.execute(f"SELECT id FROM nodes WHERE {condition}", (key,))  # noqa: S608  # own
            row_ids = found.fetchall()
            log = [(row_id, self._generation) for (row_id,) in row_ids]
            self._connection.executemany("INSERT INTO deleted_nodes VALUES (?, ?)", log)
            self._connection.executemany("DELETE FROM nodes WHERE id = ?", row_ids)
            self._connection.executemany("DELETE FROM vectors WHERE id = ?", row_ids)
            deleted += len(row_ids)
        if deleted:
            self._note_change(-deleted)
        return deleted

    def _note_change(self, more: int) -> None:
        self.has_changed = True
        self._connection.execute(
            "UPDATE manifest SET generation = ?, node_count = node_count + ?", (self._generation, more)
        )

    def _next_row_id(self) -> int:
        """Return the id after the highest that was ever given, which SQLite remembers past deletions."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'nodes'").fetchone()
        return 1 if row is None else int(row[0]) + 1
