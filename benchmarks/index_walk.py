"""Modules of the package that `ko-rerank index DIR --source PATHS` passes through, in the order of their first call.

    python benchmarks/index_walk.py

A module counts once, when the first of its functions, methods or properties runs, in any thread. Everything is imported
by a first run, so that what runs at import (class bodies, decorators) does not count. `index_walk.json` keeps the
number of the commit before the rooms were rearranged, counted by this file, and the number now.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import llama_index_ko_rerank
from llama_index_ko_rerank.cli import app

PACKAGE = Path(llama_index_ko_rerank.__file__).parent


def index_walk() -> list[str]:
    """Index one text file and return the modules whose functions ran, relative to the package, in order."""
    modules: dict[str, None] = {}

    def record(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            modules.setdefault(path.relative_to(PACKAGE).as_posix())

    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents"
        documents.mkdir()
        (documents / "note.txt").write_text("배는 아침 일곱 시에 떠납니다.", encoding="utf-8")
        _index(documents, Path(folder) / "first")
        threading.setprofile(record)
        sys.setprofile(record)
        try:
            _index(documents, Path(folder) / "second")
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None ends it
    return list(modules)


def _index(documents: Path, collection: Path) -> None:
    app(["index", str(collection), "--source", str(documents)], standalone_mode=False)


if __name__ == "__main__":
    walk = index_walk()
    print("\n".join(walk))
    print(f"{len(walk)} modules")
