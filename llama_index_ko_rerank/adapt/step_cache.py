"""Steps of an adaptation on disk: finished ones are kept with their inputs, and the collection is published last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.collection import (
    SETTINGS_FILE,
    CollectionSettings,
    index_folder,
    lexical_folder,
    write_settings,
)
from llama_index_ko_rerank.errors import IndexBusy, InvalidSetting
from llama_index_ko_rerank.files import PARTIAL, write_json_file

CACHE_FOLDER = ".adapt"
_DONE = "done.json"
_INPUTS = "inputs.json"
_LOCK = "lock.sqlite"


def digest(content: object) -> str:
    """Return a digest of plain JSON types."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def check_out(out: Path) -> None:
    """Refuse a folder that holds something else than an adaptation.

    Raises:
        InvalidSetting: It is a file, or is neither empty nor an adaptation.
    """
    if out.exists() and not out.is_dir():
        raise InvalidSetting(f"{str(out)!r} is a file; name the folder of the collection to be made")
    if out.is_dir() and not (out / CACHE_FOLDER).is_dir():
        others = sorted(entry.name for entry in out.iterdir())
        if others:
            listed = ", ".join(others[:3])
            raise InvalidSetting(
                f"{str(out)!r} holds something else than an adapted collection ({listed}); pass an empty or new folder"
            )


@contextmanager
def open_step_cache(out: Path, on_step: Callable[[str], None]) -> Iterator[StepCache]:
    """Open the step cache in a collection's folder for this process alone.

    Raises:
        IndexBusy: Another process adapts into this folder.
    """
    folder = out / CACHE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / _LOCK, timeout=0.1, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise IndexBusy(f"another process adapts into {str(out)!r}; wait for it, or pass another folder") from None
        yield StepCache(folder, on_step)


class StepCache:
    """Cache of the steps of an adaptation, each in a folder of its own that is there whole or not at all."""

    def __init__(self, folder: Path, on_step: Callable[[str], None]) -> None:
        self.folder = folder
        self._on_step = on_step

    def step(
        self, name: str, inputs: Mapping[str, object], work: Callable[[Path], dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        """Do a step, unless it was done with the same inputs.

        Args:
            name: The step, and its folder.
            inputs: What decides its outcome, in plain JSON types.
            work: Writes its files into the folder it is given, and returns what else is to be known, in plain JSON
                types. Where an earlier attempt with the same inputs was interrupted, its files are there.

        Returns:
            The folder of the step, and what `work` returned.
        """
        final, part = self.folder / name, self.folder / f"{name}{PARTIAL}"
        wanted = json.loads(json.dumps(inputs))
        done = _read(final / _DONE)
        if done is not None and done["inputs"] == wanted:
            self._on_step(f"{name}: done before, kept")
            return final, done["result"]
        if done is not None:
            changed = sorted(key for key in wanted if done["inputs"].get(key) != wanted[key])
            self._on_step(f"{name}: made again, for there is a change in: {', '.join(changed)}")
        if _read(part / _INPUTS) != wanted:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write_json_file(part / _INPUTS, wanted)
        result: dict[str, Any] = json.loads(json.dumps(work(part)))
        write_json_file(part / _DONE, {"inputs": wanted, "result": result})
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        return final, result


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


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
