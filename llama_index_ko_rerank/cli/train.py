"""`ko-rerank train bi-encoder` and `ko-rerank train cross-encoder`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from llama_index_ko_rerank.cli.console import configure, errors, output
from llama_index_ko_rerank.train.arguments import TrainingArguments

if TYPE_CHECKING:
    from llama_index_ko_rerank.data import PairDataset, RetrievalDataset
    from llama_index_ko_rerank.train.recipes.recipe import DataKind

DATA = "sample, klue-mrc[:PATH], klue-sts[:PATH], squad:PATH or pairs:PATH"


class ModelKind(StrEnum):
    """The two kinds of model."""

    BI_ENCODER = "bi-encoder"
    CROSS_ENCODER = "cross-encoder"


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `arguments` of a command by one option for each field of `TrainingArguments`."""
    types = get_type_hints(TrainingArguments)
    settings = [setting for setting in fields(TrainingArguments) if setting.name != "show_progress"]
    simple = (str, int, float, bool, int | None, float | None, bool | None)
    options = [
        inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=Annotated[
                types[setting.name] if types[setting.name] in simple else str | None,
                typer.Option(help=setting.metadata["help"]),
            ],
        )
        for setting in settings
    ]

    @wraps(command)
    def with_options(kind: ModelKind, **values: Any) -> None:
        chosen = {setting.name: values.pop(setting.name, setting.default) for setting in settings}
        command(kind, arguments=TrainingArguments(**chosen), **values)

    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "arguments"]
    with_options.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]  # PEP 362
    return with_options


@_training_options
def train(
    kind: Annotated[ModelKind, typer.Argument(help="An embedding model, or a reranker.")],
    *,
    data: Annotated[str, typer.Option(help=f"What to train on: {DATA}.")],
    out: Annotated[Path, typer.Option(help="The folder that the model is written to.")],
    arguments: TrainingArguments,
    split: Annotated[str | None, typer.Option(help="The split to train on; by default the training split.")] = None,
    validation_split: Annotated[
        str | None, typer.Option(help="The split to validate on; by default a tenth is held out.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few steps, write nothing.")
    ] = False,
    loss: Annotated[str | None, typer.Option(help="sts: cosent or cosine; strong reranker: lambda or listnet.")] = None,
    negatives: Annotated[
        int | None, typer.Option(help="strong, distil, e5-mistral: hard negatives a question.")
    ] = None,
    matryoshka_dims: Annotated[
        str | None, typer.Option(help="Embeddings: lengths that vectors may be cut to, such as 256,128.")
    ] = None,
    space_drop_rate: Annotated[float | None, typer.Option(help="Share of the questions that lose spaces, 0-1.")] = None,
    cross_encoder_filter: Annotated[
        str | None, typer.Option(help="strong, e5-mistral: a cross-encoder to drop false negatives.")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="distil: the cross-encoder to learn from.")] = None,
    embed_model: Annotated[str | None, typer.Option(help="Rerankers: an embedding model to mine beside BM25.")] = None,
    instruction: Annotated[str | None, typer.Option(help="e5-mistral: what stands before each question.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="e5-mistral: width of the adapters.")] = None,
    merge_adapter: Annotated[
        bool | None, typer.Option("--merge-adapter", help="e5-mistral: write the whole model, adapters added in.")
    ] = None,
    class_names: Annotated[
        str | None, typer.Option(help="classify: names of the classes 0, 1, ..., by commas.")
    ] = None,
) -> None:
    """Fit a model to your data: an embedding model (bi-encoder) or a reranker (cross-encoder)."""
    configure()
    from llama_index_ko_rerank.train import estimate_training, override_recipe, train_bi_encoder, train_cross_encoder
    from llama_index_ko_rerank.train.recipes import find_recipe
    from llama_index_ko_rerank.train.trainer.distributed import is_main_process

    dataset = _load(data, split)
    validation = _load(data, validation_split) if validation_split else None
    chosen = override_recipe(
        find_recipe(arguments.recipe, task=kind.value, data=_holds(dataset)),
        loss=loss,
        negatives=negatives,
        matryoshka_dims=_lengths(matryoshka_dims),
        space_drop_rate=space_drop_rate,
        cross_encoder_filter=cross_encoder_filter,
        teacher=teacher,
        embed_model=embed_model,
        instruction=instruction,
        lora_rank=lora_rank,
        merge_adapter=merge_adapter,
        class_names=[name.strip() for name in class_names.split(",")] if class_names else None,
    )
    arguments = replace(arguments, recipe=chosen, show_progress=errors.is_terminal and is_main_process())
    if dry_run:
        found = estimate_training(kind.value, dataset, out, arguments=arguments, validation=validation)
        for line in found.lines():
            output.print(line, markup=False, highlight=False)
        return
    train_encoder = train_bi_encoder if kind is ModelKind.BI_ENCODER else train_cross_encoder
    result = train_encoder(dataset, out, arguments=arguments, validation=validation)
    if not is_main_process():
        return
    output.print(f"[bold]{result.path}[/]  {result.metric} [bold]{result.best_value:.3f}[/] at step {result.best_step}")
    for step, value in result.history:
        output.print(f"  step {step:>6}  {result.metric} {value:.3f}")


def _load(data: str, split: str | None) -> RetrievalDataset | PairDataset:
    from llama_index_ko_rerank.data import dataset_kind, load_dataset, load_pair_dataset

    return load_dataset(data, split) if dataset_kind(data) == "retrieval" else load_pair_dataset(data, split)


def _holds(dataset: RetrievalDataset | PairDataset) -> DataKind:
    from llama_index_ko_rerank.data import RetrievalDataset

    return "retrieval" if isinstance(dataset, RetrievalDataset) else "sentence-pairs"


def _lengths(text: str | None) -> list[int] | None:
    from llama_index_ko_rerank.errors import InvalidSetting

    if text is None:
        return None
    try:
        return [int(length) for length in text.split(",")]
    except ValueError as error:
        raise InvalidSetting(f"--matryoshka-dims are whole numbers by commas, such as 256,128, not {text!r}") from error
