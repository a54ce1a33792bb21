"""`ko-rerank demo`: the whole line on the sample data, offline."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING, DEFAULT_RERANKER
from llama_index_ko_rerank.cli.console import configure, errors, output
from llama_index_ko_rerank.cli.evaluate import measured, show_report
from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import Collection
    from llama_index_ko_rerank.data import RetrievalDataset
    from llama_index_ko_rerank.evaluate import EvaluationReport

RERANKER_RATE = 1e-4
"""The book's rate is for a model of 68 M parameters; this one has 8 M and learns from hundreds of questions."""
QUESTION = "섬으로 가는 배에 자전거를 실을 수 있나요?"
OWN_FILES = frozenset({"models", "index", "lexical", "ko-rerank.json", "report.md", "report.json", "comparison.png"})
ROWS = {
    "base": "dense-base",
    "fine-tuned": "dense",
    "fine-tuned + rerank": "dense+rerank",
    "BM25": "bm25",
    "BM25, two views": "lexical",
    "two views + ranker": "lexical+ltr",
    "hybrid": "hybrid",
    "hybrid + ranker": "hybrid+ltr",
    "hybrid + base rerank": "hybrid+rerank-base",
    "hybrid + rerank": "hybrid+rerank",
}
"""The rows of the book's table, and ours beside them, with the systems that they are."""
COMPARED = {
    "fine-tuned": "base",
    "fine-tuned + rerank": "fine-tuned",
    "hybrid + base rerank": "hybrid",
    "hybrid + rerank": "hybrid + base rerank",
    "hybrid + ranker": "hybrid",
}
"""What each step is compared with, to say whether it helps."""


def demo(
    out: Annotated[Path, typer.Option(help="The folder that everything is written to.")] = Path("demo_out"),
    seed: Annotated[int, typer.Option(help="Of training and of the intervals.")] = 42,
) -> None:
    """Fine-tune both models of the wheel on the sample, index it, compare the systems, and answer a question.

    Uses only what ships with the package: no network, no GPU. An earlier demo in the folder is replaced.
    """
    configure()
    _make_room(out)
    from llama_index_ko_rerank.collection import Collection
    from llama_index_ko_rerank.data import load_dataset
    from llama_index_ko_rerank.evaluate import plot_comparison
    from llama_index_ko_rerank.files import write_text_file
    from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder, train_cross_encoder

    bars = errors.is_terminal
    training, validation = load_dataset("sample", "train"), load_dataset("sample", "validation")
    _say(f"1/4  fine-tuning {DEFAULT_EMBEDDING} on {len(training.questions)} questions")
    embedding = train_bi_encoder(
        training,
        out / "models" / "embedding",
        arguments=TrainingArguments(base=DEFAULT_EMBEDDING, seed=seed, show_progress=bars),
    ).path
    _say(f"2/4  fine-tuning {DEFAULT_RERANKER} on the same questions")
    reranker = train_cross_encoder(
        training,
        out / "models" / "reranker",
        arguments=TrainingArguments(
            base=DEFAULT_RERANKER, epochs=2, learning_rate=RERANKER_RATE, seed=seed, show_progress=bars
        ),
    ).path
    _say(f"3/4  indexing {len(validation.passages)} passages")
    collection = Collection.create(out, embed_model=embedding)
    collection.index_dataset(validation)
    _say(f"4/4  asking {len(validation.questions)} questions that training has not seen")
    report = _compare(validation, embedding, reranker, seed)

    helps = report.difference("hybrid + rerank", "hybrid + ranker").low > 0
    if helps:
        collection.save_settings(replace(collection.settings, rerank_model=str(reranker)))
    answer = _answer(collection)
    text = "\n\n".join(["# ko-rerank demo", report.to_markdown(), _verdict(report, helps), answer]) + "\n"
    write_text_file(out / "report.md", text)
    report.write_json(out / "report.json")
    plot_comparison(report, out / "comparison.png")
    show_report(report)
    output.print(Markdown("\n\n".join([_verdict(report, helps), answer])))
    output.print(f"\nreport.md, report.json and comparison.png are in {out}. Ask it yourself:", highlight=False)
    output.print(f'  ko-rerank search {out} "{QUESTION}"', highlight=False, markup=False)


def _make_room(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if not out.exists():
        return
    foreign = sorted(path.name for path in out.iterdir() if path.name not in OWN_FILES) if out.is_dir() else [out.name]
    if foreign:
        raise InvalidSetting(
            f"{str(out)!r} holds other things than a demo ({', '.join(foreign[:3])}); name another --out"
        )
    shutil.rmtree(out)


def _compare(validation: RetrievalDataset, embedding: Path, reranker: Path, seed: int) -> EvaluationReport:
    from llama_index_ko_rerank.data import dataset_nodes
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.evaluate.systems import TOP_N, SystemParts, build_systems
    from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor

    with tempfile.TemporaryDirectory() as temporary:
        parts = SystemParts(
            dataset_nodes(validation),
            Path(temporary) / "indexes",
            embed_model=KoreanEmbedding(embedding),
            base_embed_model=KoreanEmbedding(),
            base_reranker=CrossEncoderNodePostprocessor(top_n=TOP_N),
            reranker=CrossEncoderNodePostprocessor(str(reranker), top_n=TOP_N),
        )
        systems = build_systems(list(ROWS.values()), parts)
        named = {row: systems[system] for row, system in ROWS.items()}
        return measured(named, validation, command="ko-rerank demo", seed=seed)


def _verdict(report: EvaluationReport, helps: bool) -> str:
    lines = ["## What each step gained", ""]
    for step, before in COMPARED.items():
        gain = report.difference(step, before)
        verdict = "it helps" if gain.low > 0 else "it hurts" if gain.high < 0 else "no gain that the questions can show"
        figures = f"MRR@10 {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        lines.append(f"- {step} against {before}: {figures}, {verdict}")
    kept = "the cross-encoder" if helps else "the ranker, and not the cross-encoder,"
    lines += ["", f"So {kept} reorders what `ko-rerank search` finds in this collection."]
    return "\n".join(lines)


def _answer(collection: Collection) -> str:
    response = collection.query_engine(top_n=3).query(QUESTION)
    sources = [
        f"- [{number}] {found.node.metadata['title']} ({found.score or 0:.3f})"
        for number, found in enumerate(response.source_nodes, start=1)
    ]
    return "\n".join(["## " + QUESTION, "", str(response), "", *sources])


def _say(step: str) -> None:
    errors.print(step, highlight=False)
