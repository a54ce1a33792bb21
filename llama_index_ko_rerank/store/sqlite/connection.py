"""Connections to the table of an index, and SQLite's complaints in the user's words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, IndexBusy, IndexReadOnly, StoreError

NODES_FILE = "nodes.sqlite3"
"""The one file of an index that holds the truth; SQLite keeps ``-wal`` and ``-shm`` beside it while it is open."""

BUSY_SECONDS = 30.0
"""How long one writer waits for another before it gives up."""

_NO_ACCESS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}
_LOG_PAGES = 256
"""After how many pages SQLite merges its log into the table: 16 MiB of the pages of 64 KiB that the table has."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_writable(folder: Path) -> bool:
    """Say whether this process may write the index in a folder; SQLite needs the folder for its log."""
    file = folder / NODES_FILE
    return os.access(folder, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def connect(folder: Path, *, busy_seconds: float, create: bool = False) -> sqlite3.Connection:
    """Open a connection that any one thread at a time may use.

    In a folder that cannot be written SQLite cannot make its shared memory file. Where no log lies beside the table,
    everything is in the table and nobody is writing, so that it is read as immutable; where one does, only a plain
    read-only connection sees what the log holds.

    Raises:
        DamagedIndex: The file is no SQLite database.
        StoreError: The file cannot be opened.
    """
    file = folder / NODES_FILE
    if is_writable(folder):
        options = "mode=rwc" if create else "mode=rw"
    else:
        options = "mode=ro" if _has_log(file) else "mode=ro&immutable=1"
    with translate_sqlite_errors(folder):
        connection = sqlite3.connect(
            f"{file.as_uri()}?{options}", uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def check_file_size(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse a table whose last page was cut: SQLite notices missing pages and takes a missing end of one for zeros.

    While there is a log the last page may be on its way from there, and nothing is checked. The file is not opened:
    closing it would drop the locks that SQLite holds on it for the whole process.

    Raises:
        DamagedIndex: The file does not end with a page.
    """
    file = folder / NODES_FILE
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    if not _has_log(file) and file.stat().st_size % page_size:
        raise _translate(sqlite3.DatabaseError("its last page is incomplete"), file)


def _has_log(file: Path) -> bool:
    log = file.with_name(file.name + "-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def translate_sqlite_errors(folder: Path) -> Iterator[None]:
    """Turn what SQLite raises inside the block into an error of this package.

    Raises:
        DamagedIndex: The table is malformed, truncated, or no database.
        IndexBusy: It is locked by another writer.
        IndexReadOnly: It cannot be opened or written.
        DiskFull: The disk is full.
        StoreError: It could not be read or written for another reason.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, folder / NODES_FILE) from error


def _translate(error: sqlite3.Error, file: Path) -> StoreError:
    primary = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
    if primary in _BUSY:
        return IndexBusy(f"{file} is being written by another process or thread; try again when it has finished")
    if primary in _NO_ACCESS:
        return IndexReadOnly(f"{file} cannot be opened or written ({error}); check the permissions of its folder")
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull(f"the disk of {file} is full; nothing of this change was kept, and what was there still is")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(f"{file} could not be read or written ({error}); nothing of this change was kept")
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreError(f"the connection to {file} cannot be used ({error})")
    return DamagedIndex(
        f"{file} cannot be read ({error}): it was truncated or overwritten; restore it from a copy, or build the "
        "index again with build_index(..., overwrite=True)"
    )
