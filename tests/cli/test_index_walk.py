"""The way of `ko-rerank index` through the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_indexing_a_folder_passes_through_no_more_modules_than_recorded():
    recorded = json.loads((ROOT / "benchmarks/index_walk.json").read_text(encoding="utf-8"))["now"]["modules"]
    script = ROOT / "benchmarks" / "index_walk.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    modules = [line for line in done.stdout.splitlines() if line.endswith(".py")]
    assert "cli/index.py" in modules  # it was watched
    assert len(modules) <= recorded
