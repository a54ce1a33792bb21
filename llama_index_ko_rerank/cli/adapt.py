"""`ko-rerank adapt`: fit a whole search to documents that nobody has asked about."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.cli.console import LlmModel, LlmUrl, configure, errors, llm_of, show_line
from llama_index_ko_rerank.cli.train import DATA

if TYPE_CHECKING:
    from llama_index_ko_rerank.adapt import AdaptResult

_MAX_MB = 50


def adapt(
    out: Annotated[Path, typer.Option(help="The folder of the collection; an interrupted run goes on there.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files (txt, md, html, pdf, docx, hwpx), or folders of them.", show_default=False),
    ] = None,
    data: Annotated[str | None, typer.Option(help=f"The passages of a data set, never its questions: {DATA}.")] = None,
    base: Annotated[
        str, typer.Option(help="The embedding to start from: a name, a folder, or 'scratch'.")
    ] = DEFAULT_EMBEDDING,
    cross_encoder: Annotated[
        bool, typer.Option("--cross-encoder", help="Also train a cross-encoder, and keep it if it helps.")
    ] = False,
    llm: LlmUrl = None,
    llm_model: LlmModel = None,
    steps: Annotated[int, typer.Option(help="Steps of training.", min=1)] = 120,
    max_mb: Annotated[int, typer.Option(help="The largest file that is read, in MB.", min=1)] = _MAX_MB,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)] = 0,
) -> None:
    """Make questions from documents, fit an embedding and the search to them, and measure what each step gains.

    No questions are needed: they are made by rules, or by an LLM where --llm names one. What does not help is not kept.
    The collection in --out is for `ko-rerank search`, `chat`, `explain`, `index` and `fit`. Interrupted, the same
    command goes on where it was.
    """
    configure()
    model = llm_of(llm, llm_model)
    from llama_index_ko_rerank.adapt import AdaptSettings, adapt_to_documents

    with _shown() as (on_step, on_progress):
        result = adapt_to_documents(
            paths or [],
            out,
            data=data,
            settings=AdaptSettings(base=base, cross_encoder=cross_encoder, steps=steps, seed=seed),
            llm=model,
            max_mb=max_mb,
            command=shlex.join(["ko-rerank", *sys.argv[1:]]),
            on_step=on_step,
            on_progress=on_progress,
        )
    _show(result)


@contextmanager
def _shown() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """Show what begins in lines, and how far it is in one bar below them."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)

        def on_step(step: str) -> None:
            bar.update(task, visible=False)
            errors.print(f"{step} …", markup=False, highlight=False, soft_wrap=True)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, visible=True)

        yield on_step, on_progress


def _show(result: AdaptResult) -> None:
    report = result.report
    show_line(
        f"{result.documents:,} documents, {result.passages:,} passages in {result.folder}, {result.seconds:.0f} s"
    )
    for part, counts in report["questions"].items():
        show_line(
            f"questions, {part}: {counts['made']:,} made, {counts['not_found']:,} not found, "
            f"{counts['too_easy']:,} too easy, {counts['kept']:,} kept"
        )
    for name, (value, low, high) in report["embedding"]["figures"].items():
        show_line(f"embedding, {name}: nDCG@10 {value:.3f} [{low:.3f}, {high:.3f}]")
    show_line(f"kept: {result.embedding}")
    for name, (value, low, high) in report["measured"]["gains"].items():
        show_line(f"{name}: {value:+.3f} [{low:+.3f}, {high:+.3f}] MRR@10")
    for refusal in result.refused:
        show_line(f"! {str(refusal.path).encode('utf-8', 'backslashreplace').decode()} {refusal.reason}")
    show_line(f"{report['warning']} All figures: {result.folder / 'report.md'}")
