"""The tables of an index, and which releases can read them."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, IndexReadOnly, IndexTooNew, StoreError
from llama_index_ko_rerank.store.faiss.snapshots import snapshot_files
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.sqlite.connection import (
    BUSY_SECONDS,
    NODES_FILE,
    connect,
    is_writable,
    translate_sqlite_errors,
)
from llama_index_ko_rerank.store.sqlite.manifest import UNIT_LENGTH, as_json

SCHEMA_VERSION = 2
"""Written to ``PRAGMA user_version``; a file with a higher one was made by a newer release."""

_PAGE_SIZE = 65536
# The largest that SQLite has: of 16 KiB, vectors of 512 numbers leave an eighth unused, those of 1,024 a quarter.
# Measured on articles with 512 numbers each: 2,780 bytes a node, 2,980 with 16 KiB; adding one takes 8 ms with both.

NODES_TABLE = """CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL UNIQUE, ref_doc_id TEXT, kind TEXT NOT NULL,
    metadata TEXT NOT NULL, content BLOB NOT NULL, content_hash BLOB NOT NULL)"""
NODES_BY_DOCUMENT = "CREATE INDEX nodes_by_document ON nodes (ref_doc_id)"
_SCHEMA = (
    NODES_TABLE,
    NODES_BY_DOCUMENT,
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE deleted_nodes (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL)",
    """CREATE TABLE manifest (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), generation INTEGER NOT NULL, node_count INTEGER NOT NULL,
        dimension INTEGER, normalisation TEXT NOT NULL, embedding_identity TEXT, settings TEXT NOT NULL,
        complete INTEGER NOT NULL, log_starts_at INTEGER NOT NULL, snapshot_generation INTEGER,
        snapshot_sha256 TEXT, vector_dtype TEXT NOT NULL, index_settings TEXT NOT NULL)""",
)
_FIRST_MANIFEST = """INSERT INTO manifest
    (only_row, generation, node_count, normalisation, embedding_identity, settings, complete, log_starts_at,
     vector_dtype, index_settings)
    VALUES (1, 0, 0, ?, ?, '{}', ?, 0, ?, ?)"""


def is_blank(connection: sqlite3.Connection) -> bool:
    """Say whether a database holds nothing at all, so that it may be made into an index."""
    return version_of(connection) == 0 and not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]


def write_schema(
    connection: sqlite3.Connection,
    *,
    embedding_identity: Mapping[str, Any] | None,
    complete: bool,
    vector_dtype: VectorType,
    index_settings: IndexSettings,
) -> None:
    """Make the tables of an empty index in a blank database, in one transaction; many may try at one time."""
    connection.execute(f"PRAGMA page_size={_PAGE_SIZE}")
    _keep_a_log(connection)
    connection.execute("BEGIN IMMEDIATE")
    if is_blank(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(
            _FIRST_MANIFEST,
            (
                UNIT_LENGTH,
                as_json(embedding_identity),
                complete,
                vector_dtype,
                as_json(index_settings.as_dict()),
            ),
        )
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode, for which SQLite, unlike elsewhere, does not wait while another connection holds a lock."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def version_of(connection: sqlite3.Connection) -> int:
    """Read the schema version; 0 is what SQLite gives where nobody wrote one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse tables that this release neither knows nor can bring up to date.

    Raises:
        IndexTooNew: A newer release made them.
        DamagedIndex: They are of another program, or there are none.
    """
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise IndexTooNew(
            f"the index in {folder} has schema version {version}, and this release reads up to {SCHEMA_VERSION}; "
            "install a newer llama-index-ko-rerank"
        )
    if version < 1:
        raise DamagedIndex(
            f"{folder / NODES_FILE} is no index of this package: it is empty or of another program; restore it from a "
            "copy, or build the index again with build_index(..., overwrite=True)"
        )


def has_table(folder: Path) -> bool:
    """Say whether there is a table in a folder.

    Raises:
        StoreError: The folder cannot be looked into.
    """
    try:
        return (folder / NODES_FILE).is_file()
    except PermissionError as problem:
        raise StoreError(f"the folder {folder} cannot be looked into ({problem}); check its permissions") from problem


def make_table(
    folder: Path,
    *,
    complete: bool,
    embedding_identity: Mapping[str, Any] | None,
    vector_dtype: VectorType,
    index_settings: IndexSettings,
    busy_seconds: float,
) -> None:
    """Make the folder and an empty table in it, unless a table is there; many may try at one time.

    Args:
        folder: Where the index is to lie.
        complete: Whether it may be opened as it is, or waits for its first build.
        embedding_identity: Recorded, as the two that follow.
        vector_dtype: How the table keeps vectors.
        index_settings: Which FAISS index is made of them.
        busy_seconds: How long to wait for another writer.

    Raises:
        IndexReadOnly: The folder cannot be made or written.
        DiskFull: There is no room.
        DamagedIndex: The table is empty, and a snapshot says that there was one which is to be kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _cannot_make(folder, problem) from problem
    if not is_writable(folder):
        raise IndexReadOnly(f"an index cannot be made in {folder}: the folder cannot be written")
    connection = connect(folder, busy_seconds=busy_seconds, create=True)
    try:
        with translate_sqlite_errors(folder):
            if not is_blank(connection):
                return
            if complete and snapshot_files(folder):
                raise DamagedIndex(
                    f"{folder / NODES_FILE} is empty though there was an index; restore it from a copy, or build the "
                    "index again with build_index(..., overwrite=True)"
                )
            write_schema(
                connection,
                embedding_identity=embedding_identity,
                complete=complete,
                vector_dtype=vector_dtype,
                index_settings=index_settings,
            )
    finally:
        connection.close()


def _cannot_make(folder: Path, problem: OSError) -> StoreError:
    message = f"an index cannot be made in {folder}: {problem}"
    if isinstance(problem, PermissionError) or problem.errno == errno.EROFS:
        return IndexReadOnly(message)
    return DiskFull(message) if problem.errno == errno.ENOSPC else StoreError(message)
