"""What 10 million and a billion passages cost, reckoned from what was measured here; prints the table of docs/scale.md.

    python -m benchmarks.scale.costs

Reads `benchmarks/store/scale.json`, `benchmarks/speed/lexical.json`, `benchmarks/rerank/speed.json` and
`benchmarks/scale/ray.json`. What is assumed is said in docs/scale.md.
"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from benchmarks.paths import BENCHMARKS
from llama_index_ko_rerank.evaluate.report import markdown_table

SIZES = (1_000_000, 10_000_000, 1_000_000_000)
TOKENS = 200
"""Of a passage, for a transformer."""
MEASURED_CORES = 2
CORES = 16
"""Of a machine in the last rows."""
GIB = 2**30
HOUR = 3600


def main() -> None:
    """Print the table."""
    Console(width=400).print(costs_table(), markup=False, highlight=False)


def costs_table() -> str:
    """Write the table in Markdown."""
    found = rows(read("store/scale"), read("speed/lexical"), read("rerank/speed"), read("scale/ray"))
    return markdown_table(["", "1 million", "10 million", "1 billion"], [(name, *values) for name, values in found])


def read(name: str) -> Any:
    """Read a results file."""
    return json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))


def rows(store: Any, lexical: Any, rerank: Any, ray: Any) -> list[tuple[str, list[str]]]:
    """Reckon each row, in proportion to the number of passages."""
    statutes, million = store["growth"]["186223"], store["growth"]["1000000"]
    words = next(each for each in lexical["collections"] if each["collection"] == "statutes")
    words_a_second = words["passages"] / words["systems"]["both views, 30 results"]["build_s"]
    shape = rerank["shapes"]["6x768"]["equal"]
    transformer = shape["tokens"] / (shape["systems"]["float32"]["p50_ms"] / 1000) / TOKENS
    disk = statutes["disk_mib"] * 2**20 / 186_223
    memory = (million["open_peak_mib"] - million["imports_mib"]) * 2**20 / 1_000_000
    rate = ray["ray"]["passages_per_s"]
    return [
        ("disk, vectors and texts", [f"{size * disk / GIB:,.0f} GiB" for size in SIZES]),
        ("memory of flat shards", [f"{size * memory / GIB:,.0f} GiB" for size in SIZES]),
        ("the whole of `--engine ray`, ko-static, 2 cores", [hours(size / rate) for size in SIZES]),
        ("writing, one writer", [hours(size / (1_000_000 / million["build_s"])) for size in SIZES]),
        ("words, 2 cores", [hours(size / words_a_second) for size in SIZES]),
        ("words, memory at most", [f"{size * words['peak_memory_mib'] / 186_223 / 1024:,.0f} GiB" for size in SIZES]),
        ("embedding, 6 x 768, 2 cores", [hours(size / transformer) for size in SIZES]),
        (
            f"embedding, 6 x 768, machines of {CORES} cores for a day",
            [f"{size / transformer / HOUR / 24 * MEASURED_CORES / CORES:,.1f}" for size in SIZES],
        ),
    ]


def hours(seconds: float) -> str:
    """Say a time in the unit that fits."""
    if seconds < HOUR:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / HOUR:,.1f} h" if seconds < 72 * HOUR else f"{seconds / HOUR / 24:,.0f} days"


if __name__ == "__main__":
    main()
