"""How fast a static embedding learns and hard negatives are mined, and whether a seed gives the same weights again.

    python -m benchmarks.train.speed [--pairs 20000] [--passages 100000] [--json benchmarks/train/speed.json]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository): the articles of
`corpus/statutes.parquet`. Training pairs are an article's law and heading with its text; negatives are mined for our
own questions on statutes, and for laws and headings until there are enough. An idle machine is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.data.statute_questions import DATA, QUESTIONS, read_articles, sample_articles
from benchmarks.machine import processor_capabilities
from llama_index_ko_rerank.data import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.embed.loading import find_model_folder, load_model
from llama_index_ko_rerank.evaluate.report import installed_versions, markdown_table
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.train import TrainingArguments, TrainingResult, train_bi_encoder
from llama_index_ko_rerank.train.data.hard_negatives import mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.recipes import RECIPES
from llama_index_ko_rerank.train.recipes.recipe import MiningSettings

EPOCHS, SEED, NEGATIVES = 3, 42, 4
GOALS = {"pairs_a_second": 1300, "mining_s": 60}
Articles = Mapping[str, Mapping[str, str]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/train/speed.json"))
    arguments = parser.parse_args()
    asked = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    articles = sample_articles(read_articles(DATA / "corpus" / "statutes.parquet"), asked, limit=arguments.passages)
    mining = measure_mining(articles, asked, arguments.questions)
    report = {
        "command": shlex.join(["python", "benchmarks/train/speed.py", *sys.argv[1:]]),
        "versions": installed_versions(),
        "torch_threads": torch.get_num_threads(),
        "capabilities": processor_capabilities(),
        "goals": GOALS,
        "mining": mining,
        "training": measure_training(articles, arguments.pairs),
    }
    write_json_file(arguments.json, report)
    Console().print(table(report), markup=False, highlight=False)


def measure_mining(articles: Articles, asked: Sequence[Mapping[str, str]], questions: int) -> dict[str, Any]:
    """Mine hard negatives with BM25 and ko-static, from data set to negatives, the loading of the model included."""
    made = {digest: heading(fields) for digest, fields in articles.items()}
    texts = {row["sha256"]: row["question"] for row in asked if row["sha256"] in articles}
    for digest in list(made)[:: max(1, len(made) // questions)]:
        if len(texts) < questions:
            texts.setdefault(digest, made[digest])
    dataset = collection(articles, texts)
    start = time.perf_counter()
    rows = read_rows(dataset)
    read = time.perf_counter()
    folder = find_model_folder("ko-static")
    model = load_model(folder, dtype="float32", device="cpu", trust_remote_code=False)
    loaded = time.perf_counter()
    mined = mine_hard_negatives(rows, MiningSettings(negatives=NEGATIVES), seed=SEED, embedding=model)
    end = time.perf_counter()
    return {
        "questions": len(dataset.questions),
        "of_them_our_own": len(asked),
        "passages": len(rows.collection),
        "negatives_a_question": NEGATIVES,
        "seconds": round(end - start, 2),
        "reading_s": round(read - start, 2),
        "loading_s": round(loaded - read, 2),
        "summary": mined.summary,
    }


def measure_training(articles: Articles, pairs: int) -> dict[str, Any]:
    """Train with the recipe `static` from nothing: twice alike, and for twice as long to see what an epoch costs."""
    texts = {digest: heading(articles[digest]) for digest in list(articles)[:pairs]}
    dataset = collection({digest: articles[digest] for digest in texts}, texts)
    schedule = RECIPES["bi-encoder"]["static"].scratch
    assert schedule is not None  # the recipe has one
    with tempfile.TemporaryDirectory() as folder:
        first = _run(dataset, Path(folder) / "first", EPOCHS)
        second = _run(dataset, Path(folder) / "second", EPOCHS)
        longer = _run(dataset, Path(folder) / "longer", 2 * EPOCHS)
        digests = [_digest(run.path) for run in (first, second)]
    whole = [run.steps * schedule.batch_size / run.seconds for run in (first, second, longer)]
    steady = (longer.steps - first.steps) * schedule.batch_size / (longer.seconds - min(first.seconds, second.seconds))
    return {
        "recipe": "static",
        "pairs": first.training_rows,
        "batch_size": schedule.batch_size,
        "epochs": [EPOCHS, EPOCHS, 2 * EPOCHS],
        "steps": [run.steps for run in (first, second, longer)],
        "seconds": [round(run.seconds, 2) for run in (first, second, longer)],
        "whole_run_pairs_a_second": [round(rate) for rate in whole],
        "steady_pairs_a_second": round(steady),
        "weights_sha256": digests,
        "same_weights": digests[0] == digests[1],
    }


def heading(fields: Mapping[str, str]) -> str:
    """Ask for an article by its law and heading."""
    return f"{fields['law']} {fields['heading'] or fields['article']}"


def collection(articles: Articles, asked: Mapping[str, str]) -> RetrievalDataset:
    """Make a data set of articles and the questions on some of them."""
    passages = tuple(Passage(digest, fields["text"], fields["law"]) for digest, fields in articles.items())
    questions = tuple(Question(f"q-{digest}", text, (digest,)) for digest, text in asked.items())
    return RetrievalDataset("statutes", "made", passages, questions)


def table(report: Mapping[str, Any]) -> str:
    """Put the figures beside the goals."""
    mining, training = report["mining"], report["training"]
    whole = training["whole_run_pairs_a_second"]
    goal = f">= {GOALS['pairs_a_second']:,}"
    return markdown_table(
        ["what", "measured", "goal"],
        [
            ("static, steady state, pairs/s", f"{training['steady_pairs_a_second']:,}", goal),
            ("static, the whole run, pairs/s", f"{min(whole):,} to {max(whole):,}", goal),
            (
                f"mining {mining['questions']:,} questions over {mining['passages']:,} passages, s",
                f"{mining['seconds']:.1f}",
                f"<= {GOALS['mining_s']}",
            ),
            ("the same seed twice gives the same weights", str(training["same_weights"]), "True"),
        ],
    )


def _run(dataset: RetrievalDataset, folder: Path, epochs: int) -> TrainingResult:
    return train_bi_encoder(
        dataset, folder, arguments=TrainingArguments(recipe="static", epochs=epochs, seed=SEED, device="cpu")
    )


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
