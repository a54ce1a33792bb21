"""How fast KorQuAD's paragraphs and one question are embedded, against `SentenceTransformer.encode` with equal weights.

    python -m benchmarks.embed.encode_speed [--limit N] [--rounds 3] [--json benchmarks/embed/encode_speed.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository) and an idle machine. The systems
take turns in every round; the figures are medians.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import processor_capabilities
from benchmarks.paths import DATA
from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.models.pretrained import load_pretrained_embedding

BATCH_SIZE = 32
BASELINE = "sentence-transformers float32"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="the most paragraphs; defaults to all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/embed/encode_speed.json"))
    arguments = parser.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "test")
    paragraphs = list(dict.fromkeys(passage.text for passage in dataset.passages))[: arguments.limit]
    questions = [question.text for question in dataset.questions[: arguments.questions]]
    stock = load_pretrained_embedding()
    ours = {dtype: KoreanEmbedding("e5-small", dtype=dtype, device="cpu") for dtype in ("float32", "bfloat16")}

    def stock_passages(texts: list[str]) -> Any:
        return stock.encode_document(texts, batch_size=BATCH_SIZE)

    passage_systems: dict[str, Callable[[list[str]], Any]] = {BASELINE: stock_passages}
    query_systems: dict[str, Callable[[str], Any]] = {BASELINE: stock.encode_query}
    for dtype, embedding in ours.items():
        passage_systems[f"ours {dtype}"] = embedding.get_text_embedding_batch
        query_systems[f"ours {dtype}"] = embedding.get_query_embedding
    seconds, vectors = measure_passages(passage_systems, paragraphs, rounds=arguments.rounds)
    report = {
        "command": shlex.join(["python", "-m", "benchmarks.embed.encode_speed", *sys.argv[1:]]),
        "paragraphs": len(paragraphs),
        "rounds": arguments.rounds,
        "torch_threads": torch.get_num_threads(),
        "capabilities": processor_capabilities(),
        "passages": {
            name: {
                "seconds": statistics.median(seconds[name]),
                "times_faster": statistics.median(
                    base / own for base, own in zip(seconds[BASELINE], seconds[name], strict=True)
                ),
                "least_cosine": float((vectors[name] * vectors[BASELINE]).sum(axis=1).min()),
            }
            for name in passage_systems
        },
        "question_p50_ms": measure_questions(query_systems, questions),
        "versions": installed_versions(),
    }
    write_json_file(arguments.json, report)
    print(report["passages"], report["question_p50_ms"])


def measure_passages(
    systems: dict[str, Callable[[list[str]], Any]], texts: list[str], *, rounds: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Return the seconds of every round and the vectors of the last."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    vectors = {}
    for encode in systems.values():
        encode(texts[:2])
    for _ in range(rounds):
        for name, encode in systems.items():
            start = time.perf_counter()
            vectors[name] = np.array(encode(texts))
            seconds[name].append(time.perf_counter() - start)
    return seconds, vectors


def measure_questions(systems: dict[str, Callable[[str], Any]], questions: Sequence[str]) -> dict[str, float]:
    """Return the median milliseconds of one question, the systems in turn for each."""
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for question in questions:
        for name, encode in systems.items():
            start = time.perf_counter()
            encode(question)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


if __name__ == "__main__":
    main()
