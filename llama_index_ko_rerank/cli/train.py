"""`ko-rerank train bi-encoder` and `ko-rerank train cross-encoder`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.cli.screen import configure, errors, output

if TYPE_CHECKING:
    from llama_index_ko_rerank.data import PairDataset, RetrievalDataset

DATA = "sample, klue-mrc[:PATH], klue-sts[:PATH], squad:PATH or pairs:PATH"


class ModelKind(StrEnum):
    """The two kinds of model."""

    BI_ENCODER = "bi-encoder"
    CROSS_ENCODER = "cross-encoder"


def train(
    kind: Annotated[ModelKind, typer.Argument(help="An embedding model, or a reranker.")],
    data: Annotated[str, typer.Option(help=f"What to train on: {DATA}.")],
    out: Annotated[Path, typer.Option(help="The folder that the model is written to.")],
    base: Annotated[str, typer.Option(help="What to start from: a hub name, a folder, or 'scratch'.")] = "scratch",
    recipe: Annotated[str | None, typer.Option(help="A recipe by name; by default the one that fits the data.")] = None,
    split: Annotated[str | None, typer.Option(help="The split to train on; by default the training split.")] = None,
    validation_split: Annotated[
        str | None, typer.Option(help="The split to validate on; by default a tenth is held out.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often to go through the data; or as the recipe says.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step; or as the recipe says.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest rate; or as the recipe says.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights on a CPU.")] = 42,
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a model that is in the folder.")] = False,
) -> None:
    """Fit a model to your data: an embedding model (bi-encoder) or a reranker (cross-encoder)."""
    configure()
    from llama_index_ko_rerank.train import train_bi_encoder, train_cross_encoder

    run = train_bi_encoder if kind is ModelKind.BI_ENCODER else train_cross_encoder
    result = run(
        _load(data, split),
        out,
        base=base,
        recipe=recipe,
        validation=_load(data, validation_split) if validation_split else None,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_steps=max_steps,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        show_progress=errors.is_terminal,
    )
    output.print(f"[bold]{result.path}[/]  {result.metric} [bold]{result.best_value:.3f}[/] at step {result.best_step}")
    for step, value in result.history:
        output.print(f"  step {step:>6}  {result.metric} {value:.3f}")


def _load(data: str, split: str | None) -> RetrievalDataset | PairDataset:
    from llama_index_ko_rerank.data import dataset_kind, load_dataset, load_sentence_pairs

    return load_dataset(data, split) if dataset_kind(data) == "retrieval" else load_sentence_pairs(data, split)
