"""Tables of an index: their schema and version, how they are made, and the manifest, which describes the index."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.embed import identity_differences
from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, IndexReadOnly, IndexTooNew, ModelMismatch, StoreError
from llama_index_ko_rerank.store.faiss.snapshots import snapshot_files
from llama_index_ko_rerank.store.settings import IndexSettings, VectorType, check_vector_type
from llama_index_ko_rerank.store.sqlite.connection import (
    BUSY_SECONDS,
    NODES_FILE,
    connect,
    is_writable,
    translate_sqlite_errors,
)

SCHEMA_VERSION = 3
"""The ``PRAGMA user_version`` of 0.1.0, the first release; 1 and 2 were drafts of it and are not read."""

_PAGE_SIZE = 65536
# The largest that SQLite has: of 16 KiB, vectors of 512 numbers leave an eighth unused, those of 1,024 a quarter.
# Measured on articles with 512 numbers each: 2,780 bytes a node, 2,980 with 16 KiB; adding one takes 8 ms with both.

_SCHEMA = (
    """CREATE TABLE nodes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, node_id TEXT NOT NULL UNIQUE, ref_doc_id TEXT, kind TEXT NOT NULL,
        metadata TEXT NOT NULL, content BLOB NOT NULL, content_hash BLOB NOT NULL)""",
    "CREATE INDEX nodes_by_document ON nodes (ref_doc_id)",
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

UNIT_LENGTH = "unit length"
"""How vectors are normalised, so that their inner product is their cosine."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of an index at one generation.

    Attributes:
        generation: Counts the transactions that changed nodes, from 0.
        node_count: Number of nodes.
        dimension: Length of the vectors; None while no node was ever added.
        normalisation: Always `UNIT_LENGTH`.
        embedding_identity: Identity of the embedding model; None if unknown.
        settings: Settings of the build besides the model, such as ``{"chunk_tokens": 256}``.
        complete: False between the start of a first build and its end.
        log_starts_at: The log of deletions is whole from this generation on.
        snapshot_generation: The generation at which a FAISS snapshot was last due; None where none was.
        snapshot_sha256: That snapshot's checksum in hexadecimal; None where its kind of index needs none.
        vector_dtype: Type of the vectors in the table.
        index_settings: Settings of the FAISS index.
    """

    generation: int
    node_count: int
    dimension: int | None
    normalisation: str
    embedding_identity: dict[str, Any] | None
    settings: dict[str, Any]
    complete: bool
    log_starts_at: int
    snapshot_generation: int | None
    snapshot_sha256: str | None
    vector_dtype: VectorType
    index_settings: IndexSettings

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> Manifest:
        """Read the row, which costs one SELECT of one page.

        Raises:
            sqlite3.DatabaseError: The row is missing or cannot be read.
        """
        row = connection.execute(_SELECT_MANIFEST).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("its manifest is missing")
        values = dict(zip(_MANIFEST_COLUMNS, row, strict=True))
        try:
            values["embedding_identity"] = json.loads(values["embedding_identity"] or "null")
            values["settings"] = json.loads(values["settings"])
            values["index_settings"] = IndexSettings.of(json.loads(values["index_settings"]))
            values["vector_dtype"] = check_vector_type(values["vector_dtype"])
        except (ValueError, TypeError) as error:
            raise sqlite3.DatabaseError(f"its manifest cannot be read: {error}") from error
        values["complete"] = bool(values["complete"])
        return cls(**values)


def as_json(value: Mapping[str, Any] | None) -> str | None:
    """Write an identity or settings as the manifest keeps them."""
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


_MANIFEST_COLUMNS = tuple(field.name for field in fields(Manifest))
_SELECT_MANIFEST = f"SELECT {', '.join(_MANIFEST_COLUMNS)} FROM manifest"  # noqa: S608  # our own names


def check_model(recorded: Mapping[str, Any] | None, given: Mapping[str, Any] | None, folder: object) -> None:
    """Refuse an index that another model built.

    Args:
        recorded: The identity in the manifest; None if unknown.
        given: The identity of the model at hand; None if unknown.
        folder: Where the index lies, for the message.

    Raises:
        ModelMismatch: Both are known and they differ; the message names both and what differs.
    """
    if recorded is None or given is None:
        return
    differing = identity_differences(recorded, given)
    if differing:
        details = "; ".join(f"{key}: {_short(recorded.get(key))} against {_short(given.get(key))}" for key in differing)
        raise ModelMismatch(
            f"the index in {folder} was built with {_name(recorded)} and is opened with {_name(given)} ({details}); "
            "pass the model it was built with, or build the index again with build_index(..., overwrite=True)"
        )


def _name(identity: Mapping[str, Any]) -> str:
    return repr(identity.get("name") or identity.get("model_name") or dict(identity))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Say whether a database holds nothing at all, so that it may be made into an index."""
    return _version_of(connection) == 0 and not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]


def _write_schema(connection: sqlite3.Connection, first_manifest: Sequence[object]) -> None:
    """Make the tables of an empty index in a blank database, in one transaction; many may try at one time."""
    connection.execute(f"PRAGMA page_size={_PAGE_SIZE}")
    _use_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    if _is_blank(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(_FIRST_MANIFEST, first_manifest)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode, for which SQLite, unlike elsewhere, does not wait while another connection holds a lock."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def _version_of(connection: sqlite3.Connection) -> int:
    """Read the schema version; 0 is what SQLite gives where nobody wrote one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse tables of any other format than this release's.

    Raises:
        IndexTooNew: A newer release made them.
        DamagedIndex: They are of a draft before 0.1.0 or of another program, or there are none.
    """
    version = _version_of(connection)
    if version > SCHEMA_VERSION:
        raise IndexTooNew(
            f"the index in {folder} has schema version {version}, and this release reads {SCHEMA_VERSION}; "
            "install a newer llama-index-ko-rerank"
        )
    if version < SCHEMA_VERSION:
        raise DamagedIndex(
            f"{folder / NODES_FILE} has schema version {version}, and this release reads {SCHEMA_VERSION}: it is "
            "empty, or of another program or an unreleased version; restore it from a copy, or build the index again "
            "with build_index(..., overwrite=True)"
        )


def has_table(folder: Path) -> bool:
    """Say whether there is a table in a folder.

    Raises:
        StoreError: The folder cannot be looked into.
    """
    try:
        return (folder / NODES_FILE).is_file()
    except PermissionError as error:
        raise StoreError(f"the folder {folder} cannot be looked into ({error}); check its permissions") from error


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
        embedding_identity: Recorded, as are the two that follow.
        vector_dtype: Type of the vectors in the table.
        index_settings: Settings of the FAISS index.
        busy_seconds: How long to wait for another writer.

    Raises:
        IndexReadOnly: The folder cannot be made or written.
        DiskFull: There is no room.
        DamagedIndex: The table is empty, and a snapshot says that there was one which is to be kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _creation_error(folder, error) from error
    if not is_writable(folder):
        raise IndexReadOnly(f"an index cannot be made in {folder}: the folder cannot be written")
    connection = connect(folder, busy_seconds=busy_seconds, create=True)
    try:
        with translate_sqlite_errors(folder):
            if not _is_blank(connection):
                return
            if complete and snapshot_files(folder):
                raise DamagedIndex(
                    f"{folder / NODES_FILE} is empty though there was an index; restore it from a copy, or build the "
                    "index again with build_index(..., overwrite=True)"
                )
            identity, settings = as_json(embedding_identity), as_json(index_settings.as_dict())
            _write_schema(connection, (UNIT_LENGTH, identity, complete, vector_dtype, settings))
    finally:
        connection.close()


def _creation_error(folder: Path, error: OSError) -> StoreError:
    message = f"an index cannot be made in {folder}: {error}"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return IndexReadOnly(message)
    return DiskFull(message) if error.errno == errno.ENOSPC else StoreError(message)
