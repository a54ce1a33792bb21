"""`ko-rerank evaluate`: measure search systems on a data set."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from llama_index_ko_rerank.cli.console import configure, errors, output, progress
from llama_index_ko_rerank.cli.train import DATA

if TYPE_CHECKING:
    from llama_index_ko_rerank.data import RetrievalDataset
    from llama_index_ko_rerank.evaluate import EvaluationReport, SearchSystem
    from llama_index_ko_rerank.evaluate.significance import Interval

SCRATCH = "scratch"
DEFAULT_SYSTEMS = "bm25,dense-base,dense,hybrid,hybrid+rerank"
_COLUMNS = {
    "hit@1": "Hit@1",
    "hit@3": "Hit@3",
    "hit@10": "Hit@10",
    "mrr@10": "MRR@10",
    "ndcg@10": "nDCG@10",
    "candidate_recall": "recall",
}


def evaluate(
    data: Annotated[str, typer.Option(help=f"What to measure on: {DATA}.")],
    split: Annotated[str | None, typer.Option(help="The split whose questions are asked.")] = None,
    systems: Annotated[str, typer.Option(help="Names, with commas; 'help' lists them.")] = DEFAULT_SYSTEMS,
    embed_model: Annotated[str, typer.Option(help="A model, or 'scratch': trained now on --train-data.")] = SCRATCH,
    rerank_model: Annotated[str, typer.Option(help="A cross-encoder, or 'scratch': trained now.")] = SCRATCH,
    train_data: Annotated[
        str | None, typer.Option(help="What 'scratch' trains on, and a hybrid is fitted on: by default --data.")
    ] = None,
    train_split: Annotated[str | None, typer.Option(help="The split of it: by default tune or train.")] = None,
    candidates: Annotated[int, typer.Option(help="How many candidates each system finds and a reranker reads.")] = 30,
    limit: Annotated[int | None, typer.Option(help="Ask only the first so many questions.")] = None,
    work: Annotated[Path | None, typer.Option(help="Keep trained models here, and use those that are there.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    seed: Annotated[int, typer.Option(help="Of training and of the intervals.")] = 42,
) -> None:
    """Compare search systems: HitRate, MRR and nDCG with intervals, and milliseconds a question."""
    configure()
    from llama_index_ko_rerank.cli.scratch_models import ScratchModels
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset
    from llama_index_ko_rerank.evaluate.systems import SYSTEMS, SystemParts, build_systems, check_names

    if systems == "help":
        for name, (description, _) in SYSTEMS.items():
            output.print(f"{name:16}{description}", highlight=False)
        return
    names = [name.strip() for name in systems.split(",") if name.strip()]
    check_names(names)
    dataset = load_dataset(data, split)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = ScratchModels(train_data or data, dataset, train_split, work or Path(temporary) / "models", seed)
        parts = SystemParts(
            dataset_nodes(dataset),
            Path(temporary) / "indexes",
            **scratch.models(names, embed_model, rerank_model),
            candidates=candidates,
        )
        report = measured(
            build_systems(names, parts),
            dataset,
            command=shlex.join(["ko-rerank", *sys.argv[1:]]),
            seed=seed,
            limit=limit,
        )
    show_report(report)
    if json:
        report.write_json(json)
        errors.print(f"wrote {json}", highlight=False)


def measured(
    systems: dict[str, SearchSystem], dataset: RetrievalDataset, *, command: str, seed: int, limit: int | None = None
) -> EvaluationReport:
    """Measure systems with one progress bar over all questions of all systems."""
    from llama_index_ko_rerank.evaluate import evaluate_retrieval

    done = dict.fromkeys(systems, 0)
    with progress("asking") as update:

        def count(name: str, answered: int, questions: int) -> None:
            done[name] = answered
            update(sum(done.values()), questions * len(done))

        return evaluate_retrieval(systems, dataset, command=command, seed=seed, limit=limit, on_progress=count)


def show_report(report: EvaluationReport) -> None:
    """Print one row a system: each measure with its 95 % interval under it, and the median milliseconds a question."""
    from llama_index_ko_rerank.evaluate.report import milliseconds_text

    table = Table("system", *_COLUMNS.values(), "ms", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, result in report.systems.items():
        intervals = report.intervals[name]
        cells = [_cell(intervals[metric]) for metric in _COLUMNS]
        table.add_row(Text(name, style="bold"), *cells, milliseconds_text(result.latency_ms["total"]["p50"]))
    output.print(
        f"{report.dataset} {report.split}: {report.questions:,} questions over {report.passages:,} passages\n",
        style="bold",
        highlight=False,
    )
    output.print(table)
    output.print(
        "\nUnder each figure its 95 % interval. recall is that of the candidates before reranking, and no HitRate@10. "
        "ms is the median a question.",
        style="dim",
        highlight=False,
    )


def _cell(interval: Interval) -> Text:
    from llama_index_ko_rerank.evaluate.report import share_text

    low, high = (f"{end:.2f}".removeprefix("0") for end in (interval.low, interval.high))
    return Text.assemble(share_text(interval.value), "\n", (f"{low}-{high}", "dim"))
