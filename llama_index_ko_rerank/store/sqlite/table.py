"""The truth of an index: nodes and their vectors in one SQLite file."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llama_index_ko_rerank.errors import IndexBusy, IndexNotFound, IndexReadOnly, StoreError
from llama_index_ko_rerank.store.faiss.snapshots import discard_snapshots
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.sqlite.connection import (
    BUSY_SECONDS,
    check_file_size,
    connect,
    is_writable,
    translate_sqlite_errors,
)
from llama_index_ko_rerank.store.sqlite.manifest import Manifest
from llama_index_ko_rerank.store.sqlite.reader import TableReader
from llama_index_ko_rerank.store.sqlite.rows import pack
from llama_index_ko_rerank.store.sqlite.schema import (
    NODES_BY_DOCUMENT,
    NODES_TABLE,
    SCHEMA_VERSION,
    check_version,
    has_table,
    make_table,
    version_of,
)
from llama_index_ko_rerank.store.sqlite.writer import TableWriter

logger = logging.getLogger(__name__)

_BATCH = 1024


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring tables to `SCHEMA_VERSION`; where anything fails they stay as they were, readable by the old release.

    Nothing is checked on the way: a row that was damaged before is damaged after, and says so when it is read. Whoever
    comes second waits and finds the work done.

    Raises:
        IndexBusy: Another process is writing the index.
        DiskFull: There is no room for the new tables beside the old ones.
        DamagedIndex: The old tables cannot be read.
    """
    with translate_sqlite_errors(folder):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(connection)
            for step in range(version, SCHEMA_VERSION):
                _STEPS[step](connection)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    if version < SCHEMA_VERSION:
        logger.info("the index in %s was brought from schema version %d to %d", folder, version, SCHEMA_VERSION)


def _from_1(connection: sqlite3.Connection) -> None:
    """Pack texts and bodies, add checksums of vectors, and record how these are kept and indexed; drop the snapshot."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'nodes'").fetchone()
    connection.execute("ALTER TABLE nodes RENAME TO nodes_1")
    connection.execute("DROP INDEX nodes_by_document")
    connection.execute(NODES_TABLE)
    connection.executemany("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?)", _rows_of_1(connection))
    connection.execute("DROP TABLE nodes_1")
    connection.execute(NODES_BY_DOCUMENT)
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'nodes'")
    # The highest row id that was ever given must not be given again.
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('nodes', ?)", (last[0] if last else 0,))
    connection.create_function("crc32", 1, zlib.crc32, deterministic=True)
    connection.execute("ALTER TABLE vectors ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE vectors SET checksum = crc32(vector)")
    connection.execute("ALTER TABLE manifest ADD COLUMN vector_dtype TEXT NOT NULL DEFAULT 'float32'")
    connection.execute("ALTER TABLE manifest ADD COLUMN index_settings TEXT NOT NULL DEFAULT '{}'")
    connection.execute(
        "UPDATE manifest SET index_settings = ?, snapshot_generation = NULL, snapshot_sha256 = NULL",
        (json.dumps(IndexSettings().as_dict()),),
    )


def _rows_of_1(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str | None, str, str, bytes, bytes]]:
    query = "SELECT id, node_id, ref_doc_id, kind, text, metadata, body, content_hash FROM nodes_1 ORDER BY id"
    cursor = connection.execute(query)
    while batch := cursor.fetchmany(_BATCH):
        for row_id, node_id, ref_doc_id, kind, text, metadata, body, content_hash in batch:
            packed = pack(node_id, ref_doc_id, metadata, text=text, body=body)
            yield row_id, node_id, ref_doc_id, kind, metadata, packed, _unhexed(content_hash)


def _unhexed(content_hash: str) -> bytes:
    """Turn a checksum into bytes; one that was damaged fits nothing, before and after."""
    try:
        return bytes.fromhex(content_hash)
    except ValueError:
        return b""


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1}


Mode = Literal["open", "create", "rebuild"]
_UNUSED_SHARE = 0.2


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
        vector_dtype: VectorType = "float32",
        index_settings: IndexSettings | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open the table in a folder.

        Args:
            folder: Where the index lies.
            mode: ``open`` needs a complete index. ``create`` makes an empty one where there is none. ``rebuild`` makes
                one that is incomplete until `TableWriter.reset`, and takes what an interrupted build has left.
            embedding_identity: Recorded where an index is made.
            vector_dtype: Recorded where an index is made: how it keeps vectors.
            index_settings: Recorded where an index is made; the default ones where None.
            busy_seconds: How long to wait for another writer.

        Raises:
            IndexNotFound: There is no index, or its first build was interrupted.
            DamagedIndex: The file cannot be read, or is of something else.
            IndexTooNew: A newer release made it.
            IndexReadOnly: There is none, or one of an earlier release, and the folder cannot be written.
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
        """Give a view of the latest generation, which stays as it is while the block runs.

        Raises:
            DamagedIndex, StoreError: The table cannot be read, or was closed.
        """
        connection = self._take()
        try:
            with translate_sqlite_errors(self.folder):
                connection.execute("BEGIN")
            yield TableReader(connection, self.folder)
        finally:
            self._give_back(connection)

    @contextmanager
    def transaction(self) -> Iterator[TableWriter]:
        """Give a writer whose changes are kept together at the end of the block, or not at all where it raises.

        Inside a transaction of the same thread this is a step of it, undone alone where the step raises.

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
                with self._writer.step():
                    yield self._writer
        finally:
            self._write_lock.release()

    def checkpoint_wal(self) -> None:
        """Move SQLite's log into the table file and cut it short, as far as readers allow, without waiting for them."""
        connection = self._take()
        try:
            with translate_sqlite_errors(self.folder):
                connection.execute("PRAGMA busy_timeout=0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                connection.execute(f"PRAGMA busy_timeout={round(self._busy_seconds * 1000)}")
        finally:
            self._give_back(connection)

    def vacuum(self) -> int:
        """Write the table anew without the pages that nothing uses any more; for that time it takes its room twice.

        Returns:
            How many bytes became free; 0 where less than a fifth of the table would.

        Raises:
            IndexBusy: Somebody else is at work.
            DiskFull: There is no room for the copy.
        """
        connection = self._take()
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
            self._give_back(connection)
        return unused * size

    def close(self) -> None:
        """Close all connections; a view or a transaction that is open goes on to its end."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _outer_transaction(self) -> Iterator[TableWriter]:
        connection = self._take()
        try:
            with translate_sqlite_errors(self.folder):
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
        connection = self._take()
        try:
            with translate_sqlite_errors(self.folder):
                check_version(connection, self.folder)
                is_old = version_of(connection) < SCHEMA_VERSION
                if is_old:
                    check_file_size(connection, self.folder)
                    self._migrate(connection)
                complete = Manifest.read(connection).complete
                check_file_size(connection, self.folder)
        finally:
            self._give_back(connection)
        if not complete and mode != "rebuild":
            raise IndexNotFound(
                f"the index in {self.folder} is being built, or its build was interrupted, so that nothing of it is "
                "there; run build_index again"
            )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self.read_only:
            raise IndexReadOnly(
                f"the index in {self.folder} was made by an earlier release, and opening it brings it up to date; "
                "open it once from where its folder can be written"
            )
        migrate(connection, self.folder)
        with self.transaction() as writer:
            if writer.manifest().snapshot_generation is None:
                discard_snapshots(self.folder, keep=None)
