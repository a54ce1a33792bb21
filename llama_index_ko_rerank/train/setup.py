"""What is checked before any model is loaded, for an embedding model and for a cross-encoder alike."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.train.data.checks import check_trainable
from llama_index_ko_rerank.train.data.rows import Rows, read_rows
from llama_index_ko_rerank.train.data.splits import drop_contaminated, split_rows
from llama_index_ko_rerank.train.models.loading import is_static_folder
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, DataKind, ModelTask, Recipe, Schedule
from llama_index_ko_rerank.train.recipes.registry import find_recipe
from llama_index_ko_rerank.train.recipes.schedule import choose_device, override_schedule
from llama_index_ko_rerank.train.trainer.checkpoints import OutputFolder
from llama_index_ko_rerank.train.trainer.distributed import barrier, init_process_group


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """A training run as it is asked for; None is what the recipe says.

    Attributes:
        output_dir: The folder of the model.
        base: ``scratch``, a folder, a catalog name, or a hub name.
        recipe: A name, or a recipe with options in it (see `override_recipe`); by the data where None.
        epochs: How often each row is seen.
        batch_size: Rows a step.
        learning_rate: The highest one.
        warmup_steps: Steps until it is reached; at most half of the run.
        max_steps: The most steps of the whole run.
        pooling: How an embedding model pools; what the base says, or else the mean, where None.
        seed: Of everything that is drawn.
        resume: Go on from the last checkpoint in `output_dir`.
        overwrite: Replace a model in `output_dir`, or begin again where checkpoints are.
        keep_checkpoints: Keep the last and the best checkpoint.
        show_progress: Draw a progress bar.
        device: ``cpu``, ``cuda`` or ``mps``; an accelerator where there is one, where None.
    """

    output_dir: str | Path
    base: str = SCRATCH
    recipe: str | Recipe | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup_steps: int | None = None
    max_steps: int | None = None
    pooling: PoolingMode | None = None
    seed: int = 42
    resume: bool = False
    overwrite: bool = False
    keep_checkpoints: bool = False
    show_progress: bool = True
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A request that passed every check that needs no model.

    Attributes:
        request: What was asked.
        started: When, by `time.perf_counter`.
        recipe: The recipe.
        schedule: The recipe's schedule for this base with the user's settings.
        device: ``cpu``, ``cuda`` or ``mps``.
        training: Rows to learn from.
        validation: Rows to choose the best step by.
        held_out: Whether the validation rows were taken from the training data.
        find_contamination: Training rows that nearly copied a validation row.
        output: Where to write.
    """

    request: TrainingRequest
    started: float
    recipe: Recipe
    schedule: Schedule
    device: str
    training: Rows
    validation: Rows
    held_out: bool
    find_contamination: int
    output: OutputFolder


def open_session(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    validation: RetrievalDataset | PairDataset | None,
    request: TrainingRequest,
    *,
    writes: bool = True,
) -> Session:
    """Check settings, data and output folder, in this order, before anything is loaded or written.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit the data, or the folder is not free.
        EmptyCorpus, MalformedData, SplitLeak, InvalidText: The data cannot be learnt from.
    """
    started = time.perf_counter()
    if request.pooling is not None and request.pooling not in get_args(PoolingMode):
        raise InvalidSetting(
            f"there is no pooling {request.pooling!r}; {nearest(str(request.pooling), get_args(PoolingMode))}"
        )
    kind: DataKind = "retrieval" if isinstance(dataset, RetrievalDataset) else "sentence-pairs"
    recipe = find_recipe(request.recipe, task=task, data=kind)
    schedule = override_schedule(
        _schedule(recipe, request.base),
        epochs=request.epochs,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
        warmup_steps=request.warmup_steps,
    )
    if request.max_steps is not None and request.max_steps < 1:
        raise InvalidSetting(f"max_steps must be 1 or more, not {request.max_steps}")
    device = choose_device(request.device)
    init_process_group(device, batch_size=schedule.batch_size)
    everything = read_rows(dataset, classes=recipe.learns_classes)
    check_trainable(everything)
    given = None if validation is None else read_rows(validation, classes=recipe.learns_classes)
    training, held = split_rows(everything, given, seed=request.seed)
    training, find_contamination = drop_contaminated(training, held, drop=recipe.drops_near_leaks)
    if find_contamination and recipe.drops_near_leaks:
        check_trainable(training)
    output = OutputFolder.prepare(request.output_dir, overwrite=request.overwrite, resume=request.resume, writes=writes)
    barrier()  # all of them have looked at the folder before one writes into it
    return Session(
        request=request,
        started=started,
        recipe=recipe,
        schedule=schedule,
        device=device,
        training=training,
        validation=held,
        held_out=validation is None,
        find_contamination=find_contamination,
        output=output,
    )


def _schedule(recipe: Recipe, base: str) -> Schedule:
    """Return how a base learns: static embeddings at the rates of one from nothing, transformers gently."""
    if base != SCRATCH and (recipe.scratch is None or not is_static_folder(base)):
        return recipe.schedule
    if recipe.scratch is None:
        raise InvalidSetting(
            f"the recipe {recipe.name!r} needs a trained base: pass a folder or a hub name, not 'scratch'"
        )
    return recipe.scratch
