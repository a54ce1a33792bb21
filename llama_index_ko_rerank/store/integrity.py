"""Integrity checks of an index, and the repair of what is derived from its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llama_index_ko_rerank.errors import DamagedIndex, IndexReadOnly, StoreError
from llama_index_ko_rerank.store.faiss.snapshots import read_snapshot, snapshot_file, snapshot_files
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sqlite.connection import NODES_FILE
from llama_index_ko_rerank.store.sqlite.reader import TableReader

_SHOWN = 20


def _table_problems(reader: TableReader) -> tuple[str, ...]:
    """List what is wrong with a table, in sentences; none where it is whole.

    SQLite checks its pages and indexes, then every node is compared with its checksum, every vector is measured, and
    the counts are compared. Past 20 problems only their number is given.
    """
    problems: list[str] = []
    try:
        problems.extend(_problems(reader))
    except StoreError as error:
        problems.append(str(error))
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more problems"]
    return tuple(problems)


def _problems(reader: TableReader) -> Iterator[str]:
    yield from (f"SQLite says: {line}" for line in reader.sqlite_problems())
    yield from (f"the node {node_id!r} is not what was written" for node_id in reader.damaged_node_ids())
    without_vector, without_node = reader.unpaired()
    if without_vector:
        yield f"{without_vector} nodes have no vector"
    if without_node:
        yield f"{without_node} vectors belong to no node"
    count = reader.node_count()
    if count != reader.manifest.node_count:
        yield f"the manifest counts {reader.manifest.node_count} nodes, and there are {count}"
    try:
        for _ in reader.vector_blocks(0):
            pass
    except DamagedIndex as error:
        yield str(error)


SnapshotState = Literal["current", "stale", "missing", "damaged"]


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """Result of `check_integrity`.

    Attributes:
        generation: Number of transactions that have changed nodes.
        node_count: Number of nodes in the table.
        vector_count: Number of vectors; the same in a whole index, and 0 where they cannot be counted.
        dimension: Length of the vectors; None while no node was ever added.
        embedding_identity: Identity of the embedding model; None if unknown.
        vector_dtype: ``float32`` or ``float16``.
        index_kind: The FAISS index that searches use at this size: ``flat`` or ``ivf``.
        snapshot_generation: The generation of the snapshot that the table names; None where it names none.
        snapshot_state: ``current``; ``stale``, which the next search brings up to date; ``missing``, which is no
            problem: it is made from the table, and a flat index never has one; or ``damaged``, which is never read.
        bytes_by_file: The size of every file below the folder, by its path there.
        problems: What is wrong with the table and its snapshot, in sentences; none in a whole index.
    """

    generation: int
    node_count: int
    vector_count: int
    dimension: int | None
    embedding_identity: Mapping[str, Any] | None
    vector_dtype: str
    index_kind: str
    snapshot_generation: int | None
    snapshot_state: SnapshotState
    bytes_by_file: Mapping[str, int]
    problems: tuple[str, ...]


def check_integrity(folder: str | Path) -> IntegrityReport:
    """Read all of an index and say what is wrong with it; nothing is changed.

    Every page, every node's checksum and every vector is read, a batch in memory at a time: some ten seconds for
    200,000 nodes. Others may read and write meanwhile; what is checked is one generation.

    Raises:
        IndexNotFound: There is no index, or its first build was interrupted.
        IndexTooNew: A newer release made it.
        DamagedIndex: The table cannot be opened at all; the message says what to do.
    """
    path = Path(folder).expanduser().absolute()
    opened = IndexFolder(path, mode="open", embedding_identity=None)
    try:
        with opened.read() as reader:
            return _report(reader)
    finally:
        opened.close()


def repair(folder: str | Path) -> tuple[str, ...]:
    """Put right what is derived from the table: the snapshot, the log, files that interrupted writes have left.

    Where a fifth of the table or more is room that nothing uses, it is written anew.

    Where the table itself is damaged it is left as it is, and so is everything else.

    Returns:
        What was done, in sentences; or what could not be done, and what the user may do.

    Raises:
        IndexNotFound, IndexTooNew, DamagedIndex: As `check_integrity`.
        IndexBusy: Another process is writing the index.
        IndexReadOnly: The folder cannot be written.
        DiskFull: There is no room for the snapshot.
    """
    path = Path(folder).expanduser().absolute()
    opened = IndexFolder(path, mode="open", embedding_identity=None)
    try:
        with opened.read() as reader:
            damage = _table_problems(reader)
        if damage:
            advice = "restore it from a copy, or build the index again with build_index(..., overwrite=True)"
            return (*damage, f"{path / NODES_FILE} is damaged, and nothing was changed: {advice}")
        if opened.table.read_only:
            raise IndexReadOnly(f"the folder {path} cannot be written; the index in it can be read and not repaired")
        return _repair(opened)
    finally:
        opened.close()


def _report(reader: TableReader) -> IntegrityReport:
    manifest = reader.manifest
    state = _snapshot_state(reader)
    problems = list(_table_problems(reader))
    if state == "damaged":
        problems.append(f"the snapshot of generation {manifest.snapshot_generation} is not what was written")
    return IntegrityReport(
        generation=manifest.generation,
        node_count=manifest.node_count,
        vector_count=_vector_count(reader),
        dimension=manifest.dimension,
        embedding_identity=manifest.embedding_identity,
        vector_dtype=manifest.vector_dtype,
        index_kind=manifest.index_settings.kind_for(manifest.node_count, manifest.dimension or 0),
        snapshot_generation=None if manifest.snapshot_sha256 is None else manifest.snapshot_generation,
        snapshot_state=state,
        bytes_by_file=_sizes(reader.folder),
        problems=tuple(problems),
    )


def _vector_count(reader: TableReader) -> int:
    try:
        return reader.vector_count()
    except DamagedIndex:
        return 0


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    for file in sorted(folder.rglob("*")):
        # Another process may take its files away meanwhile.
        with suppress(FileNotFoundError):
            if file.is_file():
                sizes[str(file.relative_to(folder))] = file.stat().st_size
    return sizes


def _snapshot_state(reader: TableReader) -> SnapshotState:
    """Read all of the snapshot that the table names, and say whether it is current, stale, missing or damaged."""
    manifest = reader.manifest
    if manifest.snapshot_generation is None or manifest.snapshot_sha256 is None:
        return "missing"
    if not snapshot_file(reader.folder, manifest.snapshot_generation).exists():
        return "missing"
    if read_snapshot(reader.folder, manifest.snapshot_generation, manifest.snapshot_sha256) is None:
        return "damaged"
    return "current" if manifest.snapshot_generation == manifest.generation else "stale"


def _repair(opened: IndexFolder) -> tuple[str, ...]:
    folder = opened.table.folder
    with opened.read() as reader:
        before = _snapshot_state(reader)
        manifest = reader.manifest
    kept = [] if manifest.snapshot_sha256 is None else [snapshot_file(folder, manifest.snapshot_generation or 0)]
    orphans = [file for file in snapshot_files(folder) if file not in kept]
    freed_bytes = opened.table.vacuum()
    opened.write_snapshot()
    with opened.read() as reader:
        after = _snapshot_state(reader)
    done = [f"deleted {file.name}, which nothing refers to" for file in orphans if not file.exists()]
    if freed_bytes:
        done.append(f"gave back {freed_bytes} bytes of the table that nothing used")
    if before != after:
        done.append(f"wrote the FAISS snapshot, which was {before}, from the table")
    return (*done, "merged SQLite's log into the table")
