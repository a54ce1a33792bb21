"""What killed writers, full disks and damaged files do to the durable store: how many cases, and how much was lost.

    python -m benchmarks.store.crash [--kills 200] [--full-disks 100] [--snapshots 100] [--tables 400]
        [--json benchmarks/store/crash.json]

The harness is that of `tests/store/crash`; `make test-slow` runs the same campaigns as tests. It needs a POSIX system.
A process that is killed leaves what the kernel holds, so that this says nothing of a power cut, for which the store
relies on `fsync`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from llama_index_ko_rerank.evaluate.report import installed_versions, markdown_table
from llama_index_ko_rerank.files import write_json_file
from tests.store.crash import campaigns as crash_campaigns

SEED = 20261121


def main() -> None:
    """Run the campaigns, print and write; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full-disks", type=int, default=100)
    parser.add_argument("--snapshots", type=int, default=100)
    parser.add_argument("--tables", type=int, default=400)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/store/crash.json"))
    arguments = parser.parse_args()
    logging.getLogger("llama_index_ko_rerank").addHandler(logging.NullHandler())
    campaigns: dict[str, tuple[Callable[..., dict[str, Any]], int]] = {
        "writers killed": (crash_campaigns.kill_writers, arguments.kills),
        "full disks": (crash_campaigns.fill_disks, arguments.full_disks),
        "damaged snapshots": (crash_campaigns.damage_snapshots, arguments.snapshots),
        "damaged tables": (crash_campaigns.damage_tables, arguments.tables),
    }
    results = {name: run(campaign, cases) for name, (campaign, cases) in campaigns.items()}
    report = {"command": "make bench-store", "seed": SEED, "versions": installed_versions(), **results}
    write_json_file(arguments.json, report)
    rows = [(name, f"{result['asked']:,}", f"{result['lost']:,}") for name, result in results.items()]
    Console().print(markdown_table(["", "cases", "lost or wrong"], rows), markup=False, highlight=False)
    sys.exit(1 if any(result["lost"] for result in results.values()) else 0)


def run(campaign: Callable[..., dict[str, Any]], cases: int) -> dict[str, Any]:
    """Run one campaign in a fresh folder and say how long it took."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(Path(folder), cases, seed=SEED)
    return {"asked": cases, "seconds": round(time.perf_counter() - start, 1), **result}


if __name__ == "__main__":
    main()
