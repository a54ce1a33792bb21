"""The table of a new index, made where there is none."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, IndexReadOnly, StoreError
from llama_index_ko_rerank.store.connections import NODES_FILE, connect, in_plain_words, is_writable
from llama_index_ko_rerank.store.index_settings import IndexSettings, VectorType
from llama_index_ko_rerank.store.schema import is_blank, write_schema
from llama_index_ko_rerank.store.snapshots import snapshot_files


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
        with in_plain_words(folder):
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
