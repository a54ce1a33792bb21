"""FAISS snapshots: an index as bytes and back, and files that are read only where the table names their checksum."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss as compiled_faiss
import numpy as np

from llama_index_ko_rerank.errors import DamagedIndex, DiskFull, InvalidSetting, StoreError
from llama_index_ko_rerank.files import PARTIAL, write_bytes_file
from llama_index_ko_rerank.store.faiss.index import VectorIndex
from llama_index_ko_rerank.store.settings import IndexSettings

# FAISS's type stubs do not know what its Python layer adds.
faiss: Any = compiled_faiss

logger = logging.getLogger(__name__)

_NAME = re.compile(rf"vectors\.\d+\.faiss(\.\w+\{PARTIAL})?")
_MARK = b"ko-rerank vectors 2\n"
_LENGTH_BYTES = 8
# Older releases of FAISS have no such limits.
_LIMITS = [
    name
    for name in ("deserialization_vector_byte_limit", "deserialization_loop_limit")
    if hasattr(faiss, f"set_{name}")
]
_limits_lock = threading.Lock()


def snapshot_file(folder: Path, generation: int) -> Path:
    """Name the snapshot of a generation."""
    return folder / f"vectors.{generation}.faiss"


def snapshot_files(folder: Path) -> list[Path]:
    """List all snapshots in a folder, and what interrupted writes have left."""
    return sorted(file for file in folder.glob("vectors.*") if _NAME.fullmatch(file.name))


def write_snapshot(folder: Path, generation: int, payload: bytes) -> str:
    """Put a snapshot on disk so that the file is either whole or not there.

    Only the holder of the table's write lock may call this.

    Returns:
        The sha256 of the file in hexadecimal, to be recorded in the table.

    Raises:
        DiskFull: The disk is full; nothing is left behind.
        StoreError: The folder cannot be written; nothing is left behind.
    """
    target = snapshot_file(folder, generation)
    try:
        write_bytes_file(target, payload)
    except OSError as error:
        kind = DiskFull if error.errno == errno.ENOSPC else StoreError
        raise kind(f"the snapshot {target} could not be written ({error}); the nodes are safe") from error
    return hashlib.sha256(payload).hexdigest()


def read_snapshot(folder: Path, generation: int, sha256: str) -> bytes | None:
    """Read a snapshot, or say why it cannot be trusted.

    Returns:
        The bytes whose sha256 is the one given; None, with a warning logged, where the file is missing, cannot be
        read, or has another checksum.
    """
    file = snapshot_file(folder, generation)
    try:
        payload = file.read_bytes()
    except OSError as error:
        logger.warning("snapshot %s cannot be read (%s); the vectors are read from the table", file, error)
        return None
    if hashlib.sha256(payload).hexdigest() != sha256:
        logger.warning("snapshot %s is not what was written; the vectors are read from the table", file)
        return None
    return payload


def discard_snapshots(folder: Path, *, keep: int | None) -> None:
    """Delete every snapshot but one generation's; what cannot be deleted now is deleted another time.

    Only the holder of the table's write lock may call this.
    """
    kept = None if keep is None else snapshot_file(folder, keep)
    for file in snapshot_files(folder):
        if file != kept:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                logger.info("the old snapshot %s is still in use (%s)", file, error)


def to_bytes(index: VectorIndex) -> bytes:
    """Write an index: a mark, the length of a JSON header, the header, which rows are alive, FAISS's own format."""
    alive = np.packbits(index.alive[: index.last_row_id + 1], bitorder="little").tobytes()
    header = {
        "settings": index.settings.as_dict(),
        "kind": index.kind,
        "dimension": index.dimension,
        "generation": index.generation,
        "count": index.count,
        "last_row_id": index.last_row_id,
        "built_for": index.built_for,
        "stored": index.faiss_index.ntotal,
        "alive_bytes": len(alive),
    }
    head = json.dumps(header).encode()
    length = len(head).to_bytes(_LENGTH_BYTES, "little")
    return b"".join([_MARK, length, head, alive, memoryview(faiss.serialize_index(index.faiss_index))])


def from_bytes(payload: bytes, *, settings: IndexSettings, dimension: int, generation: int) -> VectorIndex:
    """Read what `to_bytes` wrote; its checksum must have been verified before.

    Raises:
        DamagedIndex: It cannot be read, or is an index by other settings, of other vectors or of another generation.
    """
    try:
        header, alive, body = _split(payload)
        index = VectorIndex(
            IndexSettings.of(header["settings"]),
            header["dimension"],
            count=header["built_for"],
            generation=header["generation"],
        )
        if (index.settings, index.dimension, index.generation) != (settings, dimension, generation):
            raise DamagedIndex(
                "the snapshot is of an index by other settings, of other vectors or of another generation"
            )
        index.faiss_index = _read_faiss(body, like=index.faiss_index, stored=header["stored"])
        index.alive = np.unpackbits(alive, count=header["last_row_id"] + 1, bitorder="little").astype(np.bool_)
        index.count, index.last_row_id = header["count"], header["last_row_id"]
    except (KeyError, TypeError, ValueError, InvalidSetting, RuntimeError) as error:
        raise DamagedIndex(f"the snapshot cannot be read: {error}") from error
    if np.count_nonzero(index.alive) != index.count:
        raise DamagedIndex("the snapshot holds other vectors than its header says")
    return index


def _split(payload: bytes) -> tuple[dict[str, Any], Any, Any]:
    start = len(_MARK) + _LENGTH_BYTES
    if payload[: len(_MARK)] != _MARK:
        raise DamagedIndex("the snapshot is not of this format")
    end = start + int.from_bytes(payload[len(_MARK) : start], "little")
    header = json.loads(payload[start:end])
    rest = np.frombuffer(payload, dtype=np.uint8, offset=end)
    return header, rest[: header["alive_bytes"]], rest[header["alive_bytes"] :]


def _read_faiss(body: Any, *, like: Any, stored: int) -> Any:
    with _allocation_limit(len(body)):
        loaded = faiss.deserialize_index(body)
    inner, wanted = _inner(loaded), _inner(like)
    if type(inner) is not type(wanted) or (loaded.d, loaded.ntotal) != (like.d, stored):
        raise DamagedIndex(f"the snapshot holds a {type(loaded).__name__} of {loaded.ntotal} {loaded.d}-d vectors")
    return loaded


def _inner(index: Any) -> Any:
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index


@contextmanager
def _allocation_limit(size: int) -> Iterator[None]:
    """Let FAISS allocate no vector larger than the bytes it reads from, nor loop more often than there are bytes."""
    with _limits_lock:
        before = {name: getattr(faiss, f"get_{name}")() for name in _LIMITS}
        try:
            for name in before:
                getattr(faiss, f"set_{name}")(size)
            yield
        finally:
            for name, limit in before.items():
                getattr(faiss, f"set_{name}")(limit)
