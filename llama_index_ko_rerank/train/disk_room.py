"""A full disk, whichever library ran into it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from llama_index_ko_rerank.errors import DiskFull

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def full_disk_is_said(folder: Path, advice: str) -> Iterator[None]:
    """Turn what the libraries raise for want of room into one error that names the folder.

    torch writes checkpoints and raises a RuntimeError of its archive writer; safetensors raises its own error with the
    system's number in its text; the rest is an OSError.

    Raises:
        DiskFull: There was no room.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_no_room(error):
            raise
        raise DiskFull(
            f"there is no room to write in {str(folder)!r} ({str(error).splitlines()[0]}); {advice}"
        ) from error


def _is_no_room(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _NO_ROOM
    text = str(error)
    return any(f"(os error {number})" in text for number in _NO_ROOM) or "PytorchStreamWriter failed writing" in text
