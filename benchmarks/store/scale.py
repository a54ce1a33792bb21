"""What the durable store costs as it grows, beside LlamaIndex's FAISS store on the same nodes in one run.

    python -m benchmarks.store.scale [--sizes 50000,all] [--growth 10000,50000,all,1000000]
        [--dimension 512] [--repeats 3] [--work FOLDER] [--json benchmarks/store/scale.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository) and the stock store
(`pip install llama-index-vector-stores-faiss`). All articles are embedded once, before anything is measured, by a
static embedding that is made on the spot. Every phase runs in a process of its own, except that both systems answer the
questions of one process in turns. Files are read from the page cache, where the build has left them. Past the last
article, articles are repeated with their text cut short and noise added to their vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from rich.console import Console

from benchmarks.store.corpus import STATUTES
from benchmarks.store.tables import comparison_table, goals, growth_table
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.files import write_json_file

SYSTEMS = {
    "durable": "DurableFaissVectorStore, automatic kind of index",
    "stock": "LlamaIndex's FaissVectorStore over IndexFlatIP, with SimpleDocumentStore",
}
Figures = dict[str, Any]
progress = Console(stderr=True)


def main() -> None:
    """Prepare, measure, print and write."""
    arguments = parse()
    articles = parquet.read_metadata(STATUTES).num_rows
    compared, grown = (sizes(text, articles) for text in (arguments.sizes, arguments.growth))
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        corpus = work / f"corpus-{min(articles, max([*compared, *grown]))}-{arguments.dimension}"
        prepare(corpus, min(articles, max([*compared, *grown])), arguments.dimension)
        comparison = {str(size): compare(work, corpus, size, arguments.repeats) for size in compared}
        growth = {str(size): grow(work, corpus, size, comparison.get(str(size))) for size in grown}
    report = {
        "command": "make bench-store",
        "versions": installed_versions(),
        "systems": SYSTEMS,
        "dimension": arguments.dimension,
        "repeats": arguments.repeats,
        "comparison": comparison,
        "goals": {size: goals(figures) for size, figures in comparison.items()},
        "growth": growth,
    }
    write_json_file(arguments.json, report)
    for table in (comparison_table(comparison), growth_table(growth)):
        Console().print(table, markup=False, highlight=False)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="50000,all", help="compare both systems at these sizes (default: 50000,all)")
    parser.add_argument("--growth", default="10000,50000,all,1000000", help="measure ours alone; empty for none")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="how often each index is opened (default: 3)")
    parser.add_argument("--work", type=Path, help="keep vectors here for the next run; a temporary folder if not given")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/store/scale.json"))
    return parser.parse_args()


def sizes(text: str, articles: int) -> list[int]:
    """Read a list of sizes, in which ``all`` is all articles."""
    return [articles if part == "all" else int(part) for part in text.split(",") if part]


def prepare(folder: Path, articles: int, dimension: int) -> None:
    """Fill the corpus folder, unless an earlier run has; in a process of its own, for its memory."""
    if not (folder / "vectors.npy").exists():
        progress.print(f"embedding {articles:,} articles once …", highlight=False)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.store.corpus", folder, str(articles), str(dimension)], check=True
        )


def compare(work: Path, corpus: Path, size: int, repeats: int) -> dict[str, Figures]:
    """Measure both systems at one size."""
    folder = work / f"compared-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    figures = {system: phase("build", system, corpus, folder / system, size) for system in SYSTEMS}
    for system in SYSTEMS:
        figures[system]["disk_mib"] = disk_mib(folder / system)
    openings: dict[str, list[Figures]] = {system: [] for system in SYSTEMS}
    for number in range(repeats):
        for system in list(SYSTEMS)[:: 1 if number % 2 else -1]:
            openings[system].append(phase("open", system, corpus, folder / system, size))
    taking_turns = phase("race", "both", corpus, folder, size)
    for system in SYSTEMS:
        figures[system] |= medians(openings[system]) | taking_turns[system]
        figures[system]["filter"] = phase("filter", system, corpus, folder / system, size)
        figures[system]["delete"] = phase("delete", system, corpus, folder / system, size)
    shutil.rmtree(folder)
    return figures


def grow(work: Path, corpus: Path, size: int, known: dict[str, Figures] | None) -> Figures:
    """Measure our store alone at one size, unless the comparison has."""
    if known:
        return known["durable"]
    folder = work / f"grown-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    figures = phase("build", "durable", corpus, folder, size)
    figures["disk_mib"] = disk_mib(folder)
    figures |= phase("open", "durable", corpus, folder, size)
    figures["filter"] = phase("filter", "durable", corpus, folder, size)
    figures["delete"] = phase("delete", "durable", corpus, folder, size)
    shutil.rmtree(folder)
    return figures


def phase(name: str, system: str, corpus: Path, folder: Path, size: int) -> Figures:
    """Run one phase in a process of its own and read what it measured."""
    progress.print(f"{size:,} {system} {name} …", highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.store.phase",
        name,
        system,
        corpus.absolute(),
        folder.absolute(),
        str(size),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def medians(rows: Sequence[Figures]) -> Figures:
    """Take the median of each figure, and of what is no figure the first."""
    return {
        name: statistics.median(row[name] for row in rows) if isinstance(value, int | float) else value
        for name, value in rows[0].items()
    }


def disk_mib(folder: Path) -> float:
    """Add up the files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


if __name__ == "__main__":
    main()
