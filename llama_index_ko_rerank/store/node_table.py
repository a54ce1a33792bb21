"""The truth of an index: nodes and their vectors in one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, StoreError
from llama_index_ko_rerank.store.connections import (
    BUSY_SECONDS,
    NODES_FILE,
    check_length,
    connect,
    in_plain_words,
    is_writable,
)
from llama_index_ko_rerank.store.manifest import Manifest
from llama_index_ko_rerank.store.schema import check_version, is_blank, write_schema
from llama_index_ko_rerank.store.snapshots import snapshot_files
from llama_index_ko_rerank.store.table_view import TableView
from llama_index_ko_rerank.store.table_writer import TableWriter

Mode = Literal["open", "create", "rebuild"]


class NodeTable:
    """Nodes, vectors and manifest of one index, safe against a crash at any moment.

    Every change is one transaction, written to SQLite's log and synced before it is acknowledged
    (``journal_mode=WAL``, ``synchronous=FULL``). Any number of threads and processes may read, each through a view of
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
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open the table in a folder.

        Args:
            folder: Where the index lies.
            mode: ``open`` needs a complete index. ``create`` makes an empty one where there is none. ``rebuild`` makes
                one that is incomplete until `TableWriter.start_over`, and takes what an interrupted build has left.
            embedding_identity: Recorded where an index is made.
            busy_seconds: How long to wait for another writer.

        Raises:
            IndexNotFound: There is no index, or its first build was interrupted.
            DamagedIndex: The file cannot be read, or is of something else.
            StoreError: The folder cannot be written, or the file was made by a newer release.
        """
        self.folder = folder
        self.read_only = not is_writable(folder) if (folder / NODES_FILE).is_file() else False
        self._busy_seconds = busy_seconds
        self._write_lock = threading.RLock()
        self._writer: TableWriter | None = None
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        if mode != "open":
            self._make(mode, embedding_identity)
        elif not (folder / NODES_FILE).is_file():
            raise IndexNotFound(
                f"there is no index in {folder}; build one with build_index(documents, {str(folder)!r})"
            )
        try:
            self._check(mode)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[TableView]:
        """Give a view of the latest generation, which stays as it is while the block runs.

        Raises:
            DamagedIndex, StoreError: The table cannot be read, or was closed.
        """
        connection = self._take()
        try:
            with in_plain_words(self.folder):
                connection.execute("BEGIN")
            yield TableView(connection, self.folder)
        finally:
            self._give_back(connection)

    @contextmanager
    def transaction(self) -> Iterator[TableWriter]:
        """Give a writer whose changes are kept together at the end of the block, or not at all where it raises.

        Inside a transaction of the same thread this is a step of it, undone alone where the step raises.

        Raises:
            StoreError: Another writer is at work, the folder is read-only, the disk is full, or the table was closed.
        """
        if self.read_only:
            raise StoreError(f"the index in {self.folder} is in a folder that cannot be written; it can only be read")
        if not self._write_lock.acquire(timeout=self._busy_seconds):
            raise StoreError(f"another thread is writing the index in {self.folder}; try again when it has finished")
        try:
            if self._writer is None:
                with self._outer_transaction() as writer:
                    yield writer
            else:
                with self._writer.step():
                    yield self._writer
        finally:
            self._write_lock.release()

    def merge_log(self) -> None:
        """Move SQLite's log into the table file and cut it short, as far as readers allow, without waiting for them."""
        connection = self._take()
        try:
            with in_plain_words(self.folder):
                connection.execute("PRAGMA busy_timeout=0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                connection.execute(f"PRAGMA busy_timeout={round(self._busy_seconds * 1000)}")
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close all connections; a view or a transaction that is open goes on to its end."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _outer_transaction(self) -> Iterator[TableWriter]:
        connection = self._take()
        try:
            with in_plain_words(self.folder):
                connection.execute("BEGIN IMMEDIATE")
            self._writer = TableWriter(connection, self.folder)
            yield self._writer
            self._writer.commit()
        finally:
            self._writer = None
            self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"the index in {self.folder} was closed; open it again")
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self.folder, busy_seconds=self._busy_seconds)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            with in_plain_words(self.folder):
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

    def _make(self, mode: Mode, embedding_identity: Mapping[str, Any] | None) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StoreError(f"an index cannot be made in {self.folder}: {problem}") from problem
        if self.read_only:
            return
        if not is_writable(self.folder):
            raise StoreError(f"an index cannot be made in {self.folder}: the folder cannot be written")
        connection = connect(self.folder, busy_seconds=self._busy_seconds, create=True)
        try:
            with in_plain_words(self.folder):
                if is_blank(connection):
                    if mode == "create" and snapshot_files(self.folder):
                        raise DamagedIndex(
                            f"{self.folder / NODES_FILE} is empty though there was an index; restore it from a copy, "
                            "or build the index again with build_index(..., overwrite=True)"
                        )
                    write_schema(connection, embedding_identity=embedding_identity, complete=mode == "create")
        finally:
            connection.close()

    def _check(self, mode: Mode) -> None:
        connection = self._take()
        try:
            with in_plain_words(self.folder):
                check_version(connection, self.folder)
                complete = Manifest.read(connection).complete
                check_length(connection, self.folder)
        finally:
            self._give_back(connection)
        if not complete and mode != "rebuild":
            raise IndexNotFound(
                f"the index in {self.folder} is being built, or its build was interrupted, so that nothing of it is "
                "there; run build_index again"
            )
