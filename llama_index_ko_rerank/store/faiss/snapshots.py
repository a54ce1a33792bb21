"""FAISS snapshots as files: written beside, synced, swapped in, and read only where their checksum is the table's."""

from __future__ import annotations

import errno
import hashlib
import logging
import re
from pathlib import Path

from llama_index_ko_rerank.errors import DiskFull, StoreError
from llama_index_ko_rerank.files import PARTIAL, write_bytes_file

logger = logging.getLogger(__name__)

_NAME = re.compile(rf"vectors\.\d+\.faiss(\.\w+\{PARTIAL})?")


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
    except OSError as problem:
        kind = DiskFull if problem.errno == errno.ENOSPC else StoreError
        raise kind(f"the snapshot {target} could not be written ({problem}); the nodes are safe") from problem
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
    except OSError as problem:
        logger.warning("snapshot %s cannot be read (%s); the vectors are read from the table", file, problem)
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
            except OSError as problem:
                logger.info("the old snapshot %s is still in use (%s)", file, problem)
