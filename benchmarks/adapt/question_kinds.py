"""Ablation of the rule-made questions: what each kind adds to the embedding that `adapt` trains.

    python benchmarks/adapt/question_kinds.py [--steps 40] [--seed 0] [--json FILE]

Trains the embedding on made questions about KorQuAD's 964 paragraphs, with all kinds and with each kind left out, and
measures nDCG@10 over the real questions on the articles of the split `tune`, which training never sees.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.adapt.inputs import AdaptSettings, Collected, Sources, collect
from llama_index_ko_rerank.adapt.models import MODEL, START, TrainingInputs, ndcg_at_10, write_embedding, write_start
from llama_index_ko_rerank.adapt.questions import MadeQuestions
from llama_index_ko_rerank.data import Question, RetrievalDataset, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.evaluate.significance import bootstrap_interval, paired_difference
from llama_index_ko_rerank.files import write_json_file, write_text_file
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.train.synthesis.filters import filter_by_search
from llama_index_ko_rerank.train.synthesis.generate import KINDS, make_questions

_DATA = Path(os.environ.get("KO_RERANK_DATA", Path(__file__).parents[3] / "shared" / "data"))
_DEPTH = 30


def main() -> None:
    """Train every variant, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="of training; adapt takes 120")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args()
    settings = AdaptSettings(steps=chosen.steps, seed=chosen.seed)
    dataset = load_dataset(f"squad:{_DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "tune")
    sources = Sources(dataset=dataset.with_questions(()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_start(sources, settings, folder)
        start = folder / START
        collected = collect(sources.nodes(KoreanEmbedding(start)))
        values = {"not trained": _measure(start, collected, dataset)}
        questions: dict[str, Counter[str]] = {}
        for left_out in (None, *KINDS):
            name = "all kinds" if left_out is None else f"without {left_out}"
            made, questions[name] = _made_questions(collected, settings, tuple(k for k in KINDS if k != left_out))
            parts = {"train": made, "fit": (), "held-out": dataset.questions}
            inputs = TrainingInputs(collected, MadeQuestions(parts, {}, 0), start, settings)
            target = folder / name.replace(" ", "-")
            target.mkdir()
            write_embedding(inputs, target, on_step=lambda _: None, on_progress=lambda *_: None)
            values[name] = _measure(target / MODEL, collected, dataset)
            print(name, len(made), f"{values[name].mean():.4f}", flush=True)
            _write(chosen.json, values, questions, settings)


def _made_questions(
    collected: Collected, settings: AdaptSettings, kinds: tuple[str, ...]
) -> tuple[tuple[Question, ...], Counter[str]]:
    """Make questions of some kinds and drop those that `adapt` would drop."""
    made = make_questions(
        collected.passages, seed=settings.seed, per_passage=settings.questions_per_passage, kinds=kinds
    )
    retriever = KoreanBM25Retriever.from_nodes(collected.nodes, similarity_top_k=_DEPTH)
    ranks: list[int | None] = []
    margins: list[float] = []
    for question in made:
        hits = retriever.retrieve(question.text)
        ids = [hit.node.node_id for hit in hits]
        ranks.append(ids.index(question.passage_id) + 1 if question.passage_id in ids else None)
        scores = [float(hit.score or 0.0) for hit in hits[:2]] + [0.0, 0.0]
        margins.append(1 - scores[1] / scores[0] if scores[0] > 0 else 0.0)
    kept = [made[index] for index in filter_by_search(ranks, margins, deepest=_DEPTH).kept]
    questions = tuple(Question(f"made-{i}", one.text, (one.passage_id,)) for i, one in enumerate(kept))
    return questions, Counter(one.kind for one in kept)


def _measure(model: Path, collected: Collected, dataset: RetrievalDataset) -> NDArray[np.float64]:
    return ndcg_at_10(KoreanEmbedding(str(model)), collected.passages, dataset.questions)


def _write(
    target: Path, values: dict[str, NDArray[np.float64]], questions: dict[str, Counter[str]], settings: AdaptSettings
) -> None:
    every = values["all kinds"]
    rows = {
        name: {
            "training_questions": dict(questions.get(name, {})),
            "ndcg@10": list(bootstrap_interval(row)),
            "less_all_kinds": list(paired_difference(row, every)),
        }
        for name, row in values.items()
    }
    content = {
        "command": "python benchmarks/adapt/question_kinds.py",
        "dataset": "squad:KorQuAD_v1.0_dev.json",
        "split": "tune",
        "questions": len(every),
        "seed": settings.seed,
        "steps": settings.steps,
        "versions": installed_versions(),
        "rows": rows,
    }
    write_json_file(target, content)
    lines = [
        f"nDCG@10 over {len(every)} questions of KorQuAD's `tune` articles, 95 % intervals; {settings.steps} steps, "
        f"seed {settings.seed}.",
        "",
        "| training questions | kept | nDCG@10 | less all kinds |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in values.items():
        mean, low, high = bootstrap_interval(row)
        change, least, most = paired_difference(row, every)
        lines.append(
            f"| {name} | {sum(questions.get(name, {}).values())} | {mean:.4f} ({low:.4f} to {high:.4f}) "
            f"| {change:+.4f} ({least:+.4f} to {most:+.4f}) |"
        )
    write_text_file(target.with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
