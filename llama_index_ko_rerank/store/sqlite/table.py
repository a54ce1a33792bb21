"""Table of an index: nodes and their vectors in one SQLite file, which holds the truth."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llama_index_ko_rerank.errors import IndexBusy, IndexNotFound, IndexReadOnly, StoreError
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.sqlite.connection import (
    BUSY_SECONDS,
    check_file_size,
    connect,
    is_writable,
    translate_sqlite_errors,
)
from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.schema import Manifest, check_version, has_table, make_table
from llama_index_ko_rerank.store.sqlite.writer import TableWriter

Mode = Literal["open", "create", "rebuild"]
_UNUSED_SHARE = 0.2


class NodeTable:
    """Nodes, vectors and manifest of one index, safe against a crash at any moment.

    Every change is one transaction, written to SQLite's log and synced before it is acknowledged
    (``journal_mode=WAL``, ``synchronous=FULL``). Any number of threads and processes may read, each through a reader of
    one generation; one writes at a time, and a second writer waits, then gets an error. The vectors have a table of
    their own, so that reading all of them does not read the texts.

    A connection must not be carried over a fork: open the table again in the child.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode = "open",
        embedding_identity: Mapping[str, Any] | None = None,
        vector_dtype: VectorType = "float32",
        index_settings: IndexSettings | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open the table in a folder.

        Args:
            folder: Where the index lies.
            mode: ``open`` needs a complete index. ``create`` makes an empty one where there is none. ``rebuild`` makes
                one that is incomplete until `TableWriter.reset`, and takes what an interrupted build has left.
            embedding_identity: Recorded in a new index, as are the two that follow.
            vector_dtype: Type of the vectors in the table.
            index_settings: Settings of the FAISS index. Defaults to ``IndexSettings()``.
            busy_seconds: How long to wait for another writer.

        Raises:
            IndexNotFound: There is no index, or its first build was interrupted.
            DamagedIndex: The file cannot be read, or is of another format.
            IndexTooNew: A newer release made it.
            IndexReadOnly: There is none, and the folder cannot be written.
        """
        self.folder = folder
        exists = has_table(folder)
        self.read_only = exists and not is_writable(folder)
        self._busy_seconds = busy_seconds
        self._write_lock = threading.RLock()
        self._writer: TableWriter | None = None
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        if mode == "open" and not exists:
            raise IndexNotFound(
                f"there is no index in {folder}; build one with build_index(documents, {str(folder)!r})"
            )
        if mode != "open" and not self.read_only:
            make_table(
                folder,
                complete=mode == "create",
                embedding_identity=embedding_identity,
                vector_dtype=vector_dtype,
                index_settings=index_settings or IndexSettings(),
                busy_seconds=busy_seconds,
            )
        try:
            self._check(mode)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[TableReader]:
        """Give a reader of the latest generation, which stays as it is while the block runs.

        Raises:
            DamagedIndex, StoreError: The table cannot be read, or was closed.
        """
        connection = self._acquire()
        try:
            with translate_sqlite_errors(self.folder):
                connection.execute("BEGIN")
            yield TableReader(connection, self.folder)
        finally:
            self._release(connection)

    @contextmanager
    def transaction(self) -> Iterator[TableWriter]:
        """Give a writer whose changes are kept together at the end of the block, or not at all where it raises.

        Inside a transaction of the same thread this is a savepoint of it, undone alone where the block raises.

        Raises:
            IndexBusy: Another writer is at work.
            IndexReadOnly: The folder cannot be written.
            DiskFull: There is no room; nothing of the change was kept.
            StoreError: The table was closed.
        """
        if self.read_only:
            raise IndexReadOnly(
                f"the index in {self.folder} is in a folder that cannot be written; it can only be read"
            )
        if not self._write_lock.acquire(timeout=self._busy_seconds):
            raise IndexBusy(f"another thread is writing the index in {self.folder}; try again when it has finished")
        try:
            if self._writer is None:
                with self._outer_transaction() as writer:
                    yield writer
            else:
                with self._writer.savepoint():
                    yield self._writer
        finally:
            self._write_lock.release()

    def checkpoint_wal(self) -> None:
        """Move SQLite's log into the table file and cut it short, as far as readers allow, without waiting for them."""
        connection = self._acquire()
        try:
            with translate_sqlite_errors(self.folder):
                connection.execute("PRAGMA busy_timeout=0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                connection.execute(f"PRAGMA busy_timeout={round(self._busy_seconds * 1000)}")
        finally:
            self._release(connection)

    def vacuum(self) -> int:
        """Write the table anew without the pages that nothing uses any more; for that time it takes its room twice.

        Returns:
            How many bytes became free; 0 where less than a fifth of the table would.

        Raises:
            IndexBusy: Somebody else is at work.
            DiskFull: There is no room for the copy.
        """
        connection = self._acquire()
        try:
            with translate_sqlite_errors(self.folder):
                unused, pages, size = (
                    int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                    for name in ("freelist_count", "page_count", "page_size")
                )
                if unused <= _UNUSED_SHARE * pages:
                    return 0
                connection.execute("VACUUM")
        finally:
            self._release(connection)
        return unused * size

    def close(self) -> None:
        """Close all connections; a reader or a transaction that is open goes on to its end."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _outer_transaction(self) -> Iterator[TableWriter]:
        connection = self._acquire()
        try:
            with translate_sqlite_errors(self.folder):
                connection.execute("BEGIN IMMEDIATE")
            self._writer = TableWriter(connection, self.folder)
            yield self._writer
            self._writer.commit()
        finally:
            self._writer = None
            self._release(connection)

    def _acquire(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"the index in {self.folder} was closed; open it again")
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self.folder, busy_seconds=self._busy_seconds)

    def _release(self, connection: sqlite3.Connection) -> None:
        try:
            with translate_sqlite_errors(self.folder):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except StoreError:
            connection.close()
            raise
        # A read-only folder may be written by others, unseen by a connection that took it for immutable.
        if self._closed or self.read_only:
            connection.close()
        else:
            self._idle.append(connection)

    def _check(self, mode: Mode) -> None:
        connection = self._acquire()
        try:
            with translate_sqlite_errors(self.folder):
                check_version(connection, self.folder)
                complete = Manifest.read(connection).complete
                check_file_size(connection, self.folder)
        finally:
            self._release(connection)
        if not complete and mode != "rebuild":
            raise IndexNotFound(
                f"the index in {self.folder} is being built, or its build was interrupted, so that nothing of it is "
                "there; run build_index again"
            )
