"""`ko-rerank reproduce`: the book's two tables, the published figures beside ours."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from llama_index_ko_rerank.cli.console import configure, errors, output, progress


def reproduce(
    out: Annotated[Path, typer.Option(help="The folder of models and report; a second run goes on there.")] = Path(
        "book_out"
    ),
    mrc: Annotated[
        str, typer.Option(help="Questions with contexts: klue-mrc[:PATH]; other data: squad:PATH, pairs:PATH, sample.")
    ] = "klue-mrc",
    sts: Annotated[str, typer.Option(help="Sentence pairs: klue-sts[:PATH]; other data: pairs:PATH.")] = "klue-sts",
    bi_encoder_base: Annotated[
        str, typer.Option(help="Starting model of the embedding: a name, a folder, ko-static, or 'scratch'.")
    ] = "klue/roberta-base",
    cross_encoder_base: Annotated[
        str, typer.Option(help="Starting model of the cross-encoder: a name, a folder, ko-mini-rerank, or 'scratch'.")
    ] = "klue/roberta-small",
    rows: Annotated[
        int | None, typer.Option(help="For a quick look: learn from so many rows at most, and search in so many.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling and training; the book's is 42.")] = 42,
) -> None:
    """Train the models of the book's chapter and measure its two tables, with the published figures beside ours.

    Without options: KLUE MRC and KLUE STS from the hub, and the book's two base models; hours on a processor, some
    half an hour on a GPU.
    """
    configure()
    from llama_index_ko_rerank.train.reproduce import reproduce_book
    from llama_index_ko_rerank.train.reproduce.models import BookSettings

    settings = BookSettings(
        mrc=mrc,
        sts=sts,
        bi_encoder_base=bi_encoder_base,
        cross_encoder_base=cross_encoder_base,
        rows=rows,
        seed=seed,
    )
    with ExitStack() as stack:
        report = reproduce_book(
            settings,
            out,
            command=shlex.join(["ko-rerank", *sys.argv[1:]]),
            show_progress=errors.is_terminal,
            on_step=lambda step: errors.print(f"{step} …", highlight=False),
            on_question=_bar(stack),
        )
    report.write(out)
    output.print(Markdown(report.to_markdown()))
    errors.print(f"wrote report.md and report.json into {out}", highlight=False)


def _bar(stack: ExitStack) -> Callable[[int, int], None]:
    """Draw a bar of the searches from the first one on, so that it does not cover those of training."""
    bars: list[Callable[[int, int], None]] = []

    def update(done: int, total: int) -> None:
        if not bars:
            bars.append(stack.enter_context(progress("searching")))
        bars[0](done, total)

    return update
