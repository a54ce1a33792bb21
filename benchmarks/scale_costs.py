"""What 10 million and a billion passages cost, reckoned from what was measured here; prints the table of docs/scale.md.

    python benchmarks/scale_costs.py

Reads `benchmarks/store/scale.json`, `benchmarks/speed/lexical.json`, `benchmarks/rerank/speed.json` and, where it was
measured, `benchmarks/scale/ray.json`. What is assumed is said in docs/scale.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

HERE = Path(__file__).parent
SIZES = (1_000_000, 10_000_000, 1_000_000_000)
TOKENS = 200
"""Of a passage, for a transformer."""
MEASURED_CORES = 2
CORES = 16
"""Of a machine in the last rows."""
GIB = 2**30
HOUR = 3600


def main() -> None:
    """Print the rows of the table."""
    line = Console(width=400).print
    line("| | 1 million | 10 million | 1 billion |\n| --- | --- | --- | --- |", markup=False)
    for name, values in rows(read("store/scale"), read("speed/lexical"), read("rerank/speed"), read("scale/ray")):
        line(f"| {name} | " + " | ".join(values) + " |", markup=False, highlight=False)


def read(name: str) -> Any:
    """Read a results file; None where it was not measured yet."""
    file = HERE / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def rows(store: Any, lexical: Any, rerank: Any, ray: Any) -> list[tuple[str, list[str]]]:
    """Reckon each row, in proportion to the number of passages."""
    statutes, million = store["growth"]["186223"], store["growth"]["1000000"]
    words = next(each for each in lexical["collections"] if each["collection"] == "statutes")
    words_a_second = words["passages"] / words["systems"]["both views, 30 results"]["build_s"]
    shape = rerank["shapes"]["6x768"]["equal"]
    transformer = shape["tokens"] / (shape["systems"]["float32"]["p50_ms"] / 1000) / TOKENS
    disk = statutes["disk_mib"] * 2**20 / 186_223
    memory = (million["open_peak_mib"] - million["imports_mib"]) * 2**20 / 1_000_000
    found = [
        ("disk, vectors and texts", [f"{size * disk / GIB:,.0f} GiB" for size in SIZES]),
        ("memory of flat shards", [f"{size * memory / GIB:,.0f} GiB" for size in SIZES]),
        ("writing, one writer", [hours(size / (1_000_000 / million["build_s"])) for size in SIZES]),
        ("words, 2 cores", [hours(size / words_a_second) for size in SIZES]),
        ("words, memory at most", [f"{size * words['peak_memory_mib'] / 186_223 / 1024:,.0f} GiB" for size in SIZES]),
        ("embedding, 6 x 768, 2 cores", [hours(size / transformer) for size in SIZES]),
        (
            f"embedding, 6 x 768, machines of {CORES} cores for a day",
            [f"{size / transformer / HOUR / 24 * MEASURED_CORES / CORES:,.1f}" for size in SIZES],
        ),
    ]
    if ray:
        rate = ray["ray"]["passages_per_s"]
        found.insert(2, ("the whole of `--engine ray`, ko-static, 2 cores", [hours(size / rate) for size in SIZES]))
    return found


def hours(seconds: float) -> str:
    """Say a time in the unit that fits."""
    if seconds < HOUR:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / HOUR:,.1f} h" if seconds < 72 * HOUR else f"{seconds / HOUR / 24:,.0f} days"


if __name__ == "__main__":
    main()
