"""How often the answer of a question stands in its extract: an answer of three sentences, made without an LLM.

    python -m benchmarks.quality.extracts [--split tune] [--questions N] [--json benchmarks/quality/extracts.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository): KorQuAD dev, whose 961 passages are
searched. The extract comes from the first five passages, by both lexical views and the ranker that ships.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.schema import MetadataMode, QueryBundle
from rich.console import Console

from benchmarks.paths import DATA
from llama_index_ko_rerank.answer import KoreanQueryEngine, build_query_engine, extract_sentences
from llama_index_ko_rerank.answer.extractive import clear_passage_cache, split_passage
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.evaluate.report import installed_versions, interval_text, markdown_table
from llama_index_ko_rerank.evaluate.significance import Interval, bootstrap_interval
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever

PASSAGES, CANDIDATES = 5, 30
SENTENCES = (1, 2, 3)
COLD, WARM = "extract of 3, passages read for the first time", "extract of 3, passages remembered"
COLD_EVERY = 10
WHOLE_FIRST, WHOLE_ALL, OPENING = "the first passage whole", "all five passages whole", "the first passage's first 3"


def main() -> None:
    """Ask, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="test", choices=["tune", "test"])
    parser.add_argument("--questions", type=int, default=None, help="evenly spaced; all where not given")
    parser.add_argument("--json", type=Path, default=None, help="where to write; nowhere where not given")
    arguments = parser.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", arguments.split)
    step = max(1, len(dataset.questions) // (arguments.questions or len(dataset.questions)))
    questions = [(question.text, question.answers) for question in dataset.questions[::step]]
    lexical = KoreanBM25Retriever.from_nodes(dataset_nodes(dataset), similarity_top_k=CANDIDATES)
    ranker = LearningToRankPostprocessor.from_index(lexical.lexical_index, top_n=PASSAGES)
    systems, median_ms = measure(build_query_engine(lexical, reranker=ranker, top_n=PASSAGES), questions)
    report = {
        "command": "python -m benchmarks.quality.extracts --json benchmarks/quality/extracts.json",
        "dataset": "KorQuAD 1.0 dev",
        "split": arguments.split,
        "questions": len(questions),
        "passages": len(dataset.passages),
        "versions": installed_versions(),
        "median_ms": median_ms,
        "systems": systems,
    }
    if arguments.json:
        write_json_file(arguments.json, report)
    Console().print(table(systems), markup=False, highlight=False)


def measure(
    engine: KoreanQueryEngine, questions: Sequence[tuple[str, Sequence[str]]]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Say of each way of quoting how often the answer is in it and how long it is; and what extracts take, in ms."""
    held: dict[str, list[float]] = {}
    characters: dict[str, list[int]] = {}
    milliseconds: dict[str, list[float]] = {}
    for number, (question, answers) in enumerate(questions):
        found = engine.retrieve(QueryBundle(question))
        texts = [node.node.get_content(metadata_mode=MetadataMode.NONE) for node in found]
        if number % COLD_EVERY == 0:
            clear_passage_cache()
            milliseconds.setdefault(COLD, []).append(quoted(question, texts, 3)[1])
        quotations = {WHOLE_ALL: texts, WHOLE_FIRST: texts[:1], OPENING: opening(texts)}
        for sentences in SENTENCES:
            pieces, elapsed_ms = quoted(question, texts, sentences)
            quotations[f"extract of {sentences}"] = pieces
            if sentences == 3:  # read by now: the shorter extracts of the same passages were made before
                milliseconds.setdefault(WARM, []).append(elapsed_ms)
        for name, pieces in quotations.items():
            held.setdefault(name, []).append(float(any(answer in piece for answer in answers for piece in pieces)))
            characters.setdefault(name, []).append(sum(map(len, pieces)))
    quality = {
        name: {
            "answer_in_it": bootstrap_interval(values)._asdict(),
            "characters": round(statistics.fmean(characters[name]), 1),
        }
        for name, values in held.items()
    }
    return quality, {name: round(statistics.median(values), 2) for name, values in milliseconds.items()}


def opening(texts: Sequence[str]) -> list[str]:
    """Quote the first three sentences of the first passage."""
    return [sentence.text for sentence in split_passage(texts[0]).sentences[:3]] if texts else []


def quoted(question: str, texts: Sequence[str], sentences: int) -> tuple[list[str], float]:
    """Quote the sentences that answer best, and say how many milliseconds that took."""
    start = time.perf_counter()
    extracts = extract_sentences(question, texts, sentences=sentences)
    return [extract.text for extract in extracts], 1000 * (time.perf_counter() - start)


def table(systems: dict[str, Any]) -> str:
    """Lay the figures out in Markdown."""
    rows = [
        (name, interval_text(Interval(**row["answer_in_it"])), f"{row['characters']:.0f}")
        for name, row in systems.items()
    ]
    return markdown_table(("quoted", "the answer is in it", "characters"), rows)


if __name__ == "__main__":
    main()
