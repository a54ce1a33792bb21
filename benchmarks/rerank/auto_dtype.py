"""What ``dtype="auto"`` chooses on this machine, and the two times that decide.

    python -m benchmarks.rerank.auto_dtype [--json benchmarks/rerank/auto_dtype.json]

A feed-forward block of each width is timed over 512 tokens in float32 and in bfloat16, in turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.machine import processor_capabilities
from llama_index_ko_rerank.evaluate.report import installed_versions, markdown_table
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.forward.precision import processor_times

WIDTHS = {"3 x 256 (ko-mini-rerank)": (256, 1024), "384 (e5-small, MiniLM)": (384, 1536), "768 (base)": (768, 3072)}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/rerank/auto_dtype.json"))
    arguments = parser.parse_args()
    results = {}
    for name, (hidden, inner) in WIDTHS.items():
        times = processor_times(hidden, inner)
        results[name] = {
            "float32_ms": round(times.float32_ms, 3),
            "bfloat16_ms": round(times.bfloat16_ms, 3),
            "auto": "bfloat16" if times.prefers_bfloat16 else "float32",
        }
    report = {
        "command": "python -m benchmarks.rerank.auto_dtype",
        "capabilities": processor_capabilities(),
        "threads": torch.get_num_threads(),
        "versions": installed_versions(),
        "widths": results,
    }
    write_json_file(arguments.json, report)
    rows = [
        (name, f"{one['float32_ms']:.2f}", f"{one['bfloat16_ms']:.2f}", one["auto"]) for name, one in results.items()
    ]
    Console().print(markdown_table(["width", "float32 ms", "bfloat16 ms", "auto"], rows), markup=False, highlight=False)


if __name__ == "__main__":
    main()
