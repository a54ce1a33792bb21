"""How fast two Ray workers index the statutes, beside our own path in one process with threads, in one run.

    python -m benchmarks.scale.ray_ingestion [--passages 186223] [--workers 2] [--work FOLDER]
        [--json benchmarks/scale/ray.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside it) and the extra ``ray``. Each article is
a passage and is embedded by ``ko-static``. One process is `build_index`, whose model and tokenizer use every processor.
Both are timed with their models loaded; starting Ray and its workers' models is told apart, and counted as well. Then
the two indexes are compared: ids, contents, and the largest difference of a number in two vectors.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from pyarrow.compute import utf8_normalize
from rich.console import Console

from benchmarks.store.corpus import STATUTES
from llama_index_ko_rerank.data import dataset_nodes
from llama_index_ko_rerank.data.dataset import Passage, RetrievalDataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.ingest.sync import SyncReport
from llama_index_ko_rerank.scale import ingest_passages, open_passages
from llama_index_ko_rerank.scale.ray.pipeline import ray_session
from llama_index_ko_rerank.store import build_index
from llama_index_ko_rerank.store.index_folder import IndexFolder
from llama_index_ko_rerank.store.sharded import find_shards

GOAL = 1.0
Figures = dict[str, Any]
progress = Console(stderr=True)


def main() -> None:
    """Measure both, compare, print and write."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        shutil.rmtree(work / "one", ignore_errors=True)
        shutil.rmtree(work / "ray", ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        count = write_passages(work / "passages.parquet", arguments.passages)
        model = KoreanEmbedding(embed_batch_size=1024)
        model.get_text_embedding("첫 글")
        one = in_one_process(work, model)
        ray = on_ray(work, model, arguments.workers)
        same = compare(work)
    ratio = ray["passages_per_s"] / one["passages_per_s"]
    report = {
        "command": f"python -m benchmarks.scale.ray_ingestion --passages {count} --workers {arguments.workers}",
        "versions": installed_versions(),
        "passages": count,
        "model": "ko-static",
        "workers": arguments.workers,
        "shards": 2,
        "one_process": one,
        "ray": ray,
        "same": same,
        "goals": {
            "throughput on Ray, times that of one process": {
                "reached": round(ratio, 3),
                "goal": f">= {GOAL}",
                "met": ratio >= GOAL,
            },
            "passages lost or there twice": {
                "reached": same["only_in_one"] + same["only_on_ray"] + same["different_content"] + same["twice"],
                "goal": "0",
                "met": not any(same[name] for name in ("only_in_one", "only_on_ray", "different_content", "twice")),
            },
        },
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    write_json_file(arguments.json, report)
    Console().print_json(data=report)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, help="only the first so many; all if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="leave the indexes here; a temporary folder if not given")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/scale/ray.json"))
    return parser.parse_args()


def write_passages(file: Path, most: int | None) -> int:
    """Write the articles as passages in groups of rows, as a large corpus comes, and say how many they are."""
    table = parquet.read_table(STATUTES, columns=["law", "text"]).slice(0, most)
    ids = pyarrow.array([f"s{number}" for number in range(table.num_rows)])
    text, title = (utf8_normalize(table[name], "NFC") for name in ("text", "law"))  # as every loader does
    passages = pyarrow.table({"id": ids, "text": text, "title": title})
    parquet.write_table(passages, file, row_group_size=4096)
    return passages.num_rows


def in_one_process(work: Path, model: KoreanEmbedding) -> Figures:
    """Index as `ko-rerank index --data` does."""
    progress.print("one process …", highlight=False)
    start, processor = time.perf_counter(), time.process_time()
    rows = parquet.read_table(work / "passages.parquet").to_pylist()
    passages = tuple(Passage(row["id"], row["text"], row["title"]) for row in rows)
    build_index(dataset_nodes(RetrievalDataset("statutes", "all", passages, ())), work / "one", embed_model=model)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "processor_s": time.process_time() - processor,
        "passages_per_s": len(rows) / seconds,
        "disk_mib": disk_mib(work / "one"),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def on_ray(work: Path, model: KoreanEmbedding, workers: int) -> Figures:
    """Index on a cluster of this machine, started before the clock as the model of the other is loaded before it."""
    progress.print(f"{workers} Ray workers …", highlight=False)
    source = open_passages(f"parquet:{work / 'passages.parquet'}")
    starting = time.perf_counter()
    first_done: list[float] = []

    def note(report: SyncReport) -> None:
        if not first_done:
            first_done.extend([time.perf_counter(), report.files_done])

    with ray_session(None, workers):
        start = time.perf_counter()
        report = ingest_passages(work / "ray", source, embed_model=model, shards=2, workers=workers, on_progress=note)
        seconds = time.perf_counter() - start
    flowing = start + seconds - first_done[0]
    return {
        "seconds": seconds,
        "seconds_with_the_start_of_ray": time.perf_counter() - starting,
        "seconds_to_the_first_written_block": first_done[0] - start,
        "passages_per_s": report.files_done / seconds,
        "passages_per_s_once_flowing": (report.files_done - first_done[1]) / flowing,
        "written": report.added,
        "failed": len(report.failed),
        "disk_mib": disk_mib(work / "ray"),
    }


def compare(work: Path) -> Figures:
    """Compare the shards together with the one index."""
    progress.print("comparing …", highlight=False)
    one, twice = content([work / "one"])
    shards, twice_on_ray = content(find_shards(work / "ray").folders)
    both = one.keys() & shards.keys()
    return {
        "only_in_one": len(one.keys() - both),
        "only_on_ray": len(shards.keys() - both),
        "twice": twice + twice_on_ray,
        "different_content": sum(one[each][0] != shards[each][0] for each in both),
        "largest_difference_of_a_number": max(float(np.abs(one[each][1] - shards[each][1]).max()) for each in both),
    }


def content(folders: list[Path]) -> tuple[dict[str, tuple[str, Any]], int]:
    """Read content hash and vector of every node by id, and count the ids that come again."""
    found: dict[str, tuple[str, Any]] = {}
    total = 0
    for folder in folders:
        with closing(IndexFolder(folder, mode="open", embedding_identity=None)) as index, index.read() as view:
            hashes = [(row.node_id, row.content_hash) for row in view.all_rows()]
            vectors = np.concatenate([block for _, block in view.vector_blocks(0)])
        total += len(hashes)
        found |= {node_id: (digest, vector) for (node_id, digest), vector in zip(hashes, vectors, strict=True)}
    return found, total - len(found)


def disk_mib(folder: Path) -> float:
    """Add up the files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    main()
