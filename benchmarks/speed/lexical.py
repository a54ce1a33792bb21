"""How fast lexical search is, beside LlamaIndex's own BM25Retriever, in one interleaved run.

    python -m benchmarks.speed.lexical [--statutes N] [--json benchmarks/speed/lexical.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository): KorQuAD dev for 961 passages,
`corpus/statutes.parquet` for the larger collection.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.retrievers.bm25 import BM25Retriever
from rich.console import Console

from benchmarks.paths import DATA
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.evaluate.report import installed_versions, markdown_table
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever

TOP_K, CANDIDATES = 10, 30
STOCK, LEXICAL, RANKED = "stock BM25Retriever, 10 results", "both views, 30 results", "both views + ranker, 10 of 30"
Search = Callable[[str], Any]


def main() -> None:
    """Build, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statutes", type=int, default=None, help="how many articles; all where not given, 0 for none")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/speed/lexical.json"))
    arguments = parser.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "tune")
    questions = [
        question.text for question in dataset.questions[:: max(1, len(dataset.questions) // arguments.questions)]
    ]
    collections = {"KorQuAD": dataset_nodes(dataset)}
    if arguments.statutes != 0:
        collections["statutes"] = statute_nodes(arguments.statutes)
    rows = [measure(name, nodes, questions) for name, nodes in collections.items()]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"command": "make bench", "versions": installed_versions(), "collections": rows}
    arguments.json.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    Console().print(table(rows), markup=False, highlight=False)


def statute_nodes(limit: int | None) -> list[TextNode]:
    """Read statute articles, each once, in file order."""
    texts = dict.fromkeys(parquet.read_table(DATA / "corpus/statutes.parquet", columns=["text"])["text"].to_pylist())
    return [TextNode(id_=f"s{number}", text=text) for number, text in enumerate(list(texts)[:limit])]


def measure(name: str, nodes: Sequence[TextNode], questions: Sequence[str]) -> dict[str, Any]:
    """Build each system and ask all of them every question, taking turns."""
    start = time.perf_counter()
    stock = BM25Retriever.from_defaults(nodes=list(nodes), similarity_top_k=TOP_K)
    stock_seconds = time.perf_counter() - start
    start = time.perf_counter()
    lexical = KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=CANDIDATES)
    lexical_seconds = time.perf_counter() - start
    ranker = LearningToRankPostprocessor.from_index(lexical.lexical_index, top_n=TOP_K)
    systems: dict[str, Search] = {
        STOCK: lambda question: stock.retrieve(QueryBundle(question)),
        LEXICAL: lambda question: lexical.retrieve(QueryBundle(question)),
        RANKED: lambda question: ranker.postprocess_nodes(
            lexical.retrieve(QueryBundle(question)), query_bundle=QueryBundle(question)
        ),
    }
    build_seconds = {STOCK: stock_seconds, LEXICAL: lexical_seconds, RANKED: lexical_seconds}
    milliseconds: dict[str, list[float]] = {system: [] for system in systems}
    for number, question in enumerate(["준비 운동", *questions]):
        turn = list(systems)[number % 3 :] + list(systems)[: number % 3]
        for system in turn:
            _forget_questions(lexical)
            start = time.perf_counter()
            systems[system](question)
            if number:
                milliseconds[system].append((time.perf_counter() - start) * 1000)
    return {
        "collection": name,
        "passages": len(nodes),
        "questions": len(questions),
        "systems": {
            system: {
                "build_s": round(build_seconds[system], 1),
                "p50_ms": round(statistics.median(values), 2),
                "p95_ms": round(statistics.quantiles(values, n=20)[-1], 2),
            }
            for system, values in milliseconds.items()
        },
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _forget_questions(lexical: KoreanBM25Retriever) -> None:
    """Empty the tokenizer's memory of questions, so that no system finds the question tokenised by another."""
    lexical.lexical_index.morphemes.forget_questions()


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Put the measurements into a Markdown table."""
    cells = [
        (row["collection"], f"{row['passages']:,}", system, *(f"{value:,}" for value in figures.values()))
        for row in rows
        for system, figures in row["systems"].items()
    ]
    return markdown_table(["collection", "passages", "system", "build s", "p50 ms", "p95 ms"], cells)


if __name__ == "__main__":
    main()
