"""How fast cross-encoders rerank, beside LlamaIndex's own SentenceTransformerRerank, in one interleaved run.

    python -m benchmarks.rerank.speed [--questions N] [--shapes 6x768 6x384] [--trained FOLDER] [--json PATH]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository) for KorQuAD's paragraphs. The
models have random weights, since speed does not depend on them. What does is measured on trained ones (those in the
wheel): whether the orders agree, and what ``cascade`` saves, which depends on how far apart logits lie; those of random
weights lie together. For the latter the trained BERT of 3 x 256 is put in the shape 6 x 768 (`rerank_widened.py`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from benchmarks.machine import processor_capabilities
from benchmarks.paths import DATA, ROOT
from benchmarks.rerank.measures import agreement, concurrent, matrix_product_rates, race, ratio
from benchmarks.rerank.systems import (
    BFLOAT16,
    CASCADE,
    FLOAT32,
    OURS,
    RERANKERS,
    STOCK,
    Ours,
    footprint,
    load,
    unavailable,
)
from benchmarks.rerank.tables import table
from benchmarks.rerank.widened import write_widened
from benchmarks.rerank.workloads import (
    CANDIDATES,
    SHAPES,
    Ask,
    equal,
    floating_operations,
    mixed,
    pair_lengths,
    write_model,
)
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.data.dataset import RetrievalDataset
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.text.normalize import normalize

SHIPPED = ROOT / "llama_index_ko_rerank" / "models" / "ko-mini-rerank"
WARM_UPS = 6
"""Questions before the clock: the cascade learns its error bound from the first 120 pairs."""
CONCURRENT = 8
TRAINED_QUESTIONS = 200
Figures = dict[str, Any]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20, help="questions a workload")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--trained", type=Path, default=SHIPPED, help="the folder of a trained BERT of 3 x 256")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/rerank/speed.json"))
    arguments = parser.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "test")
    report: Figures = {
        "command": shlex.join(["python", "benchmarks/rerank/speed.py", *sys.argv[1:]]),
        "versions": installed_versions(),
        "torch_threads": torch.get_num_threads(),
        "capabilities": processor_capabilities(),
        "not_measured": unavailable(),
        "shapes": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.shapes:
            texts = [passage.text for passage in dataset.passages]
            model = write_model(SHAPES[name], texts, Path(folder) / name)
            report["shapes"][name] = measure_shape(name, str(model), dataset, arguments.questions)
    asks = found(dataset, TRAINED_QUESTIONS)
    report["trained"] = measure_trained(str(arguments.trained), asks, OURS)
    with tempfile.TemporaryDirectory() as folder:
        large = str(write_widened(arguments.trained, asks[:WARM_UPS], Path(folder) / f"{arguments.trained.name}-6x768"))
        report["widened"] = measure_trained(large, mixed(dataset, WARM_UPS + arguments.questions), (STOCK, *OURS))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(table(report))


def measure_shape(name: str, folder: str, dataset: RetrievalDataset, questions: int) -> Figures:
    """Take all measurements of one model."""
    names = [STOCK, *OURS, *([] if RERANKERS in unavailable() else [RERANKERS])]
    systems = {system: load(system, folder) for system in names}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    workloads = {"mixed": mixed(dataset, WARM_UPS + questions), "equal": equal(dataset, WARM_UPS + questions)}
    figures: Figures = {}
    for workload, asks in workloads.items():
        taking_part = systems if workload == "mixed" else {one: systems[one] for one in (STOCK, FLOAT32, BFLOAT16)}
        for ask in asks[:WARM_UPS]:
            for system in [one for one in taking_part if one == CASCADE or ask is asks[0]]:
                taking_part[system].rank(ask)
        rates = [matrix_product_rates()]
        laps = race(taking_part, asks[WARM_UPS:], again=FLOAT32 if workload == "mixed" else None)
        rates.append(matrix_product_rates())
        lengths = [pair_lengths(tokenizer, ask) for ask in asks[WARM_UPS:]]
        operations = statistics.median(floating_operations(SHAPES[name], one) for one in lengths)
        figures[workload] = {
            "questions": questions,
            "tokens": int(statistics.median(map(sum, lengths))),
            "padded_tokens": int(statistics.median(CANDIDATES * max(one) for one in lengths)),
            "tera_operations": round(operations / 1e12, 3),
            "systems": {system: lap.figures() for system, lap in laps.items()},
            "times_stock": {system: ratio(laps[STOCK], lap) for system, lap in laps.items() if system != STOCK},
            "agreement": {
                system: agreement(laps[STOCK].rankings, laps[system].rankings)
                for system in taking_part
                if system != STOCK
            },
            "ceiling": {
                dtype: _ceiling(operations, max(rate[dtype] for rate in rates), laps[dtype].median_ms)
                for dtype in (FLOAT32, BFLOAT16)
            },
        }
    figures["concurrent"] = {
        dtype: concurrent(_ours(systems[dtype]), workloads["mixed"][WARM_UPS:], at_once=CONCURRENT)
        for dtype in (FLOAT32, BFLOAT16)
    }
    figures["footprint"] = {system: _alone(system, folder, workloads["mixed"][:3]) for system in names}
    return figures


def found(dataset: RetrievalDataset, count: int) -> list[Ask]:
    """Take questions evenly, each with what the lexical views find; some more than asked for, to warm up."""
    retriever = KoreanBM25Retriever.from_nodes(dataset_nodes(dataset), similarity_top_k=CANDIDATES)
    questions = dataset.questions[:: max(1, len(dataset.questions) // (count + WARM_UPS))][: count + WARM_UPS]
    return [
        Ask(normalize(one.text), tuple(normalize(hit.node.text) for hit in retriever.retrieve(one.text)))
        for one in questions
    ]


def measure_trained(folder: str, asks: list[Ask], names: Sequence[str]) -> Figures:
    """Compare the orders and times of float32 and of others on trained weights."""
    systems = {name: load(name, folder) for name in names}
    for ask in asks[:WARM_UPS]:
        for system in systems.values():
            system.rank(ask)
    laps = race(systems, asks[WARM_UPS:])
    others = [name for name in names if name != FLOAT32]
    return {
        "model": Path(folder).name,
        "questions": len(asks) - WARM_UPS,
        "systems": {system: lap.figures() for system, lap in laps.items()},
        "times_float32": {system: ratio(laps[FLOAT32], laps[system]) for system in others},
        "times_stock": {system: ratio(laps[STOCK], laps[system]) for system in names if STOCK in laps},
        "agreement": {system: agreement(laps[FLOAT32].rankings, laps[system].rankings) for system in others},
    }


def _ours(system: Any) -> Any:
    assert isinstance(system, Ours)
    return system.reranker


def _ceiling(operations: float, rate: float, milliseconds: float) -> Figures:
    least = operations / rate / 1e9
    return {
        "measured_tera_per_s": round(rate, 3),
        "least_ms": round(least, 1),
        "times_least": round(milliseconds / least, 2),
    }


def _alone(system: str, folder: str, asks: list[Ask]) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(footprint, system, folder, asks).result()


if __name__ == "__main__":
    main()
