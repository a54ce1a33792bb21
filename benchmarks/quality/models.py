"""What the shipped and the fitted models are worth on KorQuAD, KLUE STS and KorSTS.

    python -m benchmarks.quality.models --parts a,b,c,d,e,f --adapted FOLDER [--split test] [--work FOLDER]

Parts, each a file of `benchmarks/quality/`:

a  ko-static, never shown KorQuAD
b  the embedding of `--adapted FOLDER`, fitted to the paragraphs without questions
c  that embedding trained on the `tune` questions
d  ko-mini-rerank over the first 30 of the two lexical views: alone, weighed with them, as a feature of the ranker
e  the same after training on the `tune` questions
f  Spearman on KLUE STS dev and KorSTS test, before and after the recipe `sts` on KorSTS train

Everything fitted is fitted on `tune`; with `--split tune` on four of five of its articles, and the fifth is measured.
What was trained or read stays in `--work`, so that a part that was cut off goes on.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.quality.data import korquad
from benchmarks.quality.parts import LEXICAL_ROW, Differences, Measurement
from benchmarks.quality.sts import sts_report
from llama_index_ko_rerank.evaluate import EvaluationReport
from llama_index_ko_rerank.evaluate.report import interval_text, markdown_table
from llama_index_ko_rerank.files import write_json_file

STATIC, ADAPTED, TUNED = "ko-static", "adapted", "adapted, then trained on tune"
FILES = {
    "a": "static",
    "b": "adapted",
    "c": "embedding-tuned",
    "d": "mini-rerank",
    "e": "mini-rerank-tuned",
    "f": "sts",
}
METRICS = ("hit@1", "mrr@10", "ndcg@10")


def main() -> None:
    """Measure the parts that are asked for, print and write."""
    arguments = _arguments()
    command = shlex.join(["python", "benchmarks/quality/models.py", *sys.argv[1:]])
    learning, measured = korquad(
        arguments.split, questions=arguments.questions, learning_questions=arguments.learning_questions
    )
    work = arguments.work / arguments.split
    measurement = Measurement(learning, measured, work, command)
    for part in arguments.parts:
        target = arguments.out / f"{'' if part == 'f' else f'korquad-{arguments.split}-'}{FILES[part]}.json"
        if part == "f":
            report = sts_report(work, command)
            report.write_json(target)
            print(report.to_markdown())
        elif part in "abc":
            _write(target, *_dense(measurement, part, arguments.adapted), {})
        else:
            _write(target, *_reranked(measurement, part, arguments))


def _dense(measurement: Measurement, part: str, adapted: str | None) -> tuple[EvaluationReport, Differences]:
    """Measure an embedding model with those before it."""
    models = {STATIC: "ko-static"}
    if part in "bc" and adapted:
        models[ADAPTED] = adapted
    if part == "c":
        models[TUNED if adapted else "ko-static, trained on tune"] = measurement.tuned_embedding(adapted or "ko-static")
    names = list(models)
    return measurement.dense(models), [*zip(names[1:], names, strict=False), (names[-1], LEXICAL_ROW)]


def _reranked(
    measurement: Measurement, part: str, arguments: argparse.Namespace
) -> tuple[EvaluationReport, Differences, dict[str, Any]]:
    model, fitting = arguments.reranker, measurement.learning
    if part == "e":
        model, fitting = measurement.tuned_reranker(model)
    return measurement.reranked(model, fitting, retrieval_weight=arguments.retrieval_weight, dtype=arguments.dtype)


def _write(target: Path, report: EvaluationReport, compared: Differences, fitted: dict[str, Any]) -> None:
    differences = [
        {"system": system, "other": other, "metric": metric, **_rounded(report, system, other, metric)}
        for system, other in compared
        for metric in METRICS
    ]
    content = {**report.to_json_dict(), "differences": differences}
    write_json_file(target, content | ({"fitted": fitted} if fitted else {}))
    rows = [
        (name, *(interval_text(intervals[metric]) for metric in METRICS))
        for name, intervals in report.intervals.items()
    ]
    gains = [
        (
            f"{one['system']} - {one['other']}",
            one["metric"],
            f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]",
        )
        for one in differences
    ]
    print(f"{target}: {report.questions:,} questions {fitted or ''}")
    print(markdown_table(["system", *METRICS], rows))
    print(markdown_table(["difference", "metric", "value"], gains))


def _rounded(report: EvaluationReport, system: str, other: str, metric: str) -> dict[str, float]:
    found = report.difference(system, other, metric=metric)
    return {end: round(value, 6) for end, value in found._asdict().items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="a,b,c,d,e,f", type=_parts, help="letters, by commas")
    parser.add_argument("--split", default="test", choices=["test", "tune"])
    parser.add_argument("--questions", type=int, default=None, help="the most to measure; all where not given")
    parser.add_argument("--learning-questions", type=int, default=None, help="the most to learn from; for development")
    parser.add_argument("--adapted", default=None, help="the folder of an adapted embedding; parts b and c")
    parser.add_argument("--reranker", default="ko-mini-rerank", help="a cross-encoder's name or folder; parts d and e")
    parser.add_argument(
        "--retrieval-weight", type=float, default=None, help="the first stage's weight; fitted where not given"
    )
    parser.add_argument("--dtype", default="float32", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--work", type=Path, default=Path("build/quality"), help="where models and logits are kept")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/quality"))
    arguments = parser.parse_args()
    if "b" in arguments.parts and arguments.adapted is None:
        parser.error("part b needs --adapted FOLDER, the embedding that `ko-rerank adapt` made")
    return arguments


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not parts or not set(parts) <= set(FILES):
        raise argparse.ArgumentTypeError(f"parts are {', '.join(FILES)}, by commas, not {text!r}")
    return parts


if __name__ == "__main__":
    main()
