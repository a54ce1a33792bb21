"""What an interrupted adaptation leaves behind: finished steps, each with what it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.errors import IndexBusy, InvalidSetting
from llama_index_ko_rerank.files import write_json_file

STATE = ".adapt"
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
    if out.is_dir() and not (out / STATE).is_dir():
        others = sorted(entry.name for entry in out.iterdir())
        if others:
            listed = ", ".join(others[:3])
            raise InvalidSetting(
                f"{str(out)!r} holds something else than an adapted collection ({listed}); pass an empty or new folder"
            )


@contextmanager
def opened_state(out: Path, on_step: Callable[[str], None]) -> Iterator[AdaptState]:
    """Take the state folder in a collection's folder for this process alone.

    Raises:
        IndexBusy: Another process adapts into this folder.
    """
    folder = out / STATE
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / _LOCK, timeout=0.1, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem):
                raise
            raise IndexBusy(f"another process adapts into {str(out)!r}; wait for it, or pass another folder") from None
        yield AdaptState(folder, on_step)


class AdaptState:
    """The steps of an adaptation, each in a folder of its own that is there whole or not at all."""

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
        final, part = self.folder / name, self.folder / f"{name}.part"
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
