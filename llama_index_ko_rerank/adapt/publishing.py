"""Putting an adapted collection in its place: it opens only when every part of it is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from llama_index_ko_rerank.collection import (
    SETTINGS_FILE,
    CollectionSettings,
    index_folder,
    lexical_folder,
    write_settings,
)

EMBEDDING, CROSS_ENCODER = "embedding", "cross-encoder"


def publish(
    out: Path,
    settings: CollectionSettings,
    *,
    index: Path,
    lexical: Path,
    models: dict[str, Path],
    files: dict[str, Path],
    old: Path,
) -> None:
    """Move the parts of a collection to where they belong, and write its settings last.

    What makes a folder a collection is taken away first. A process that is killed in between leaves a folder that does
    not open, and the state from which the same command makes it whole.

    Args:
        out: The collection's folder.
        settings: What it remembers of itself.
        index: The index, closed; it is moved.
        lexical: The lexical snapshot; it is moved.
        models: Folders of models by the name that they get; they stay in the state, too, sharing their room on disk
            where the file system can.
        files: Other files, likewise.
        old: A folder for what was there before, which is then removed.
    """
    (out / SETTINGS_FILE).unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir(parents=True)
    for name in (EMBEDDING, CROSS_ENCODER, index_folder(out).name, lexical_folder(out).name):
        if (out / name).exists():
            (out / name).rename(old / name)
    index.rename(index_folder(out))
    if lexical.exists():
        lexical.rename(lexical_folder(out))
    for name, folder in models.items():
        shutil.copytree(folder, out / name, copy_function=_linked)
    for name, file in files.items():
        (out / name).unlink(missing_ok=True)
        _linked(str(file), str(out / name))
    write_settings(out, settings)
    shutil.rmtree(old)


def _linked(source: str, target: str) -> str:
    """Let two names share one file; copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
