"""Bringing the tables of an earlier release to this one's, in one transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from llama_index_ko_rerank.store.connections import in_plain_words
from llama_index_ko_rerank.store.index_settings import IndexSettings
from llama_index_ko_rerank.store.row_packing import pack
from llama_index_ko_rerank.store.schema import NODES_BY_DOCUMENT, NODES_TABLE, SCHEMA_VERSION, version_of

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
    with in_plain_words(folder):
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
