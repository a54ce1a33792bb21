"""The tables of an index, and which releases can read them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import DamagedIndex, IndexTooNew
from llama_index_ko_rerank.store.connections import BUSY_SECONDS, NODES_FILE
from llama_index_ko_rerank.store.index_settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.manifest import UNIT_LENGTH, as_json

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
