"""How well `e5-small` finds KorQuAD's paragraphs, never shown anything: exact search over all 964 of them.

    python -m benchmarks.quality.e5_korquad [--questions N] [--json benchmarks/quality/korquad-test-e5.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository).
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.quality.data import korquad
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.metrics import measure
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.evaluate.significance import bootstrap_interval
from llama_index_ko_rerank.files import write_json_file

DEPTH = 10


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e5-small")
    parser.add_argument("--questions", type=int, help="evenly spaced; defaults to all")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/quality/korquad-test-e5.json"))
    arguments = parser.parse_args()
    _, measured = korquad("test", questions=arguments.questions)
    embedding = KoreanEmbedding(arguments.model, device="cpu")
    start = time.perf_counter()
    passages = np.array(embedding.get_text_embedding_batch([passage.text for passage in measured.passages]))
    seconds = time.perf_counter() - start
    ids = [passage.id for passage in measured.passages]
    rows = []
    for question in measured.questions:
        cosines = passages @ np.array(embedding.get_query_embedding(question.text))
        best = np.argsort(-cosines, kind="stable")[:DEPTH]
        rows.append(measure([ids[index] for index in best], set(question.passage_ids)))
    metrics = {}
    for name in rows[0]:
        interval = bootstrap_interval([row[name] for row in rows])
        metrics[name] = {
            "mean": float(np.mean([row[name] for row in rows])),
            "low": interval.low,
            "high": interval.high,
        }
    report = {
        "command": shlex.join(["python", "-m", "benchmarks.quality.e5_korquad", *sys.argv[1:]]),
        "dataset": measured.name,
        "split": "test",
        "questions": len(measured.questions),
        "passages": len(measured.passages),
        "identity": embedding.identity,
        "metrics": metrics,
        "passages_seconds": round(seconds, 1),
        "versions": installed_versions(),
    }
    write_json_file(arguments.json, report)
    for name, value in metrics.items():
        print(f"{name}: {value['mean']:.4f} ({value['low']:.4f}-{value['high']:.4f})")


if __name__ == "__main__":
    main()
