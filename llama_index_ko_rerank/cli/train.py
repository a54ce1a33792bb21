"""`ko-rerank train bi-encoder` and `ko-rerank train cross-encoder`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_index_ko_rerank.cli.screen import configure, errors, output

if TYPE_CHECKING:
    from llama_index_ko_rerank.data import PairDataset, RetrievalDataset
    from llama_index_ko_rerank.train import TrainingResult

app = typer.Typer(help="Fit a model to your data.", no_args_is_help=True)

DATA = "sample, klue-mrc[:PATH], klue-sts[:PATH], squad:PATH or pairs:PATH"
Data = Annotated[str, typer.Option(help=f"What to train on: {DATA}.")]
Out = Annotated[Path, typer.Option(help="The folder that the model is written to.")]
Base = Annotated[str, typer.Option(help="What to start from: a hub name, a folder, or 'scratch'.")]
Recipe = Annotated[str | None, typer.Option(help="A recipe by name; by default the one that fits the data.")]
Split = Annotated[str | None, typer.Option(help="The split to train on; by default the training split.")]
Validation = Annotated[str | None, typer.Option(help="The split to validate on; by default a tenth is held out.")]
Epochs = Annotated[int | None, typer.Option(help="How often to go through the data; by default the recipe's.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows a step; by default the recipe's.")]
LearningRate = Annotated[float | None, typer.Option(help="By default the recipe's.")]
MaxSteps = Annotated[int | None, typer.Option(help="Stop after so many steps.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same weights on a CPU.")]
Resume = Annotated[bool, typer.Option(help="Go on from the last checkpoint in the folder.")]
Overwrite = Annotated[bool, typer.Option(help="Replace a model that is in the folder.")]


@app.command("bi-encoder")
def bi_encoder(
    data: Data,
    out: Out,
    base: Base = "scratch",
    recipe: Recipe = None,
    split: Split = None,
    validation_split: Validation = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    max_steps: MaxSteps = None,
    seed: Seed = 42,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train an embedding model on questions and passages, or on sentence pairs."""
    configure()
    from llama_index_ko_rerank.train import train_bi_encoder

    settings = _settings(recipe, epochs, batch_size, learning_rate, max_steps)
    result = train_bi_encoder(
        _load(data, split),
        out,
        base=base,
        validation=_load(data, validation_split) if validation_split else None,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        show_progress=errors.is_terminal,
        **settings,
    )
    _report(result)


@app.command("cross-encoder")
def cross_encoder(
    data: Data,
    out: Out,
    base: Base = "scratch",
    recipe: Recipe = None,
    split: Split = None,
    validation_split: Validation = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    max_steps: MaxSteps = None,
    seed: Seed = 42,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a reranker on questions and passages."""
    configure()
    from llama_index_ko_rerank.train import train_cross_encoder

    settings = _settings(recipe, epochs, batch_size, learning_rate, max_steps)
    result = train_cross_encoder(
        _load(data, split),
        out,
        base=base,
        validation=_load(data, validation_split) if validation_split else None,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        show_progress=errors.is_terminal,
        **settings,
    )
    _report(result)


def _settings(
    recipe: str | None, epochs: int | None, batch_size: int | None, learning_rate: float | None, max_steps: int | None
) -> dict[str, Any]:
    given = {
        "recipe": recipe,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "max_steps": max_steps,
    }
    return {name: value for name, value in given.items() if value is not None}


def _load(data: str, split: str | None) -> RetrievalDataset | PairDataset:
    from llama_index_ko_rerank.data import dataset_kind, load_dataset, load_sentence_pairs

    return load_dataset(data, split) if dataset_kind(data) == "retrieval" else load_sentence_pairs(data, split)


def _report(result: TrainingResult) -> None:
    output.print(f"[bold]{result.path}[/]  {result.metric} [bold]{result.best_value:.3f}[/] at step {result.best_step}")
    for step, value in result.history:
        output.print(f"  step {step:>6}  {result.metric} {value:.3f}")
