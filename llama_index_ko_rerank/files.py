"""The one atomic writer: a file is there whole or not at all, and on the disk when the call returns."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

PARTIAL = ".partial"


def write_json_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write JSON, Hangul kept, as `write_bytes_file` writes."""
    write_text_file(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text_file(path: str | Path, text: str) -> None:
    """Write a UTF-8 text, as `write_bytes_file` writes."""
    write_bytes_file(path, text.encode("utf-8"))


def write_bytes_file(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folder where it is missing.

    The bytes go to a temporary file beside the target (its name ends with `PARTIAL`), which is synced and then takes
    the target's name; the folder is synced too. A file that was there before stays as it was until that moment.

    Raises:
        OSError: The disk is full or the folder cannot be written; nothing is left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=PARTIAL)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows does so by itself and opens no folders."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
