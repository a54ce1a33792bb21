"""What is checked before any model is loaded, for an embedding model and for a cross-encoder alike."""

from __future__ import annotations

import time
from dataclasses import dataclass

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.bases import is_static_folder
from llama_index_ko_rerank.train.distributed import join_processes, wait_for_all
from llama_index_ko_rerank.train.holdout import split_rows
from llama_index_ko_rerank.train.leaks import without_near_leaks
from llama_index_ko_rerank.train.output import OutputFolder
from llama_index_ko_rerank.train.plan import adjust_schedule, choose_device
from llama_index_ko_rerank.train.preflight import check_learnable
from llama_index_ko_rerank.train.recipe import SCRATCH, DataKind, ModelTask, Recipe, Schedule
from llama_index_ko_rerank.train.recipes import find_recipe
from llama_index_ko_rerank.train.request import TrainingRequest
from llama_index_ko_rerank.train.rows import Rows, read_rows


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
        near_leaks: Training rows that nearly copied a validation row.
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
    near_leaks: int
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
    kind: DataKind = "retrieval" if isinstance(dataset, RetrievalDataset) else "sentence-pairs"
    recipe = find_recipe(request.recipe, task=task, data=kind)
    schedule = adjust_schedule(
        _schedule(recipe, request.base),
        epochs=request.epochs,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
        warmup_steps=request.warmup_steps,
    )
    if request.max_steps is not None and request.max_steps < 1:
        raise InvalidSetting(f"max_steps must be 1 or more, not {request.max_steps}")
    device = choose_device(request.device)
    join_processes(device, batch_size=schedule.batch_size)
    everything = read_rows(dataset, classes=recipe.learns_classes)
    check_learnable(everything)
    given = None if validation is None else read_rows(validation, classes=recipe.learns_classes)
    training, held = split_rows(everything, given, seed=request.seed)
    training, near_leaks = without_near_leaks(training, held, drop=recipe.drops_near_leaks)
    if near_leaks and recipe.drops_near_leaks:
        check_learnable(training)
    output = OutputFolder.prepare(request.output_dir, overwrite=request.overwrite, resume=request.resume, writes=writes)
    wait_for_all()  # all of them have looked at the folder before one writes into it
    return Session(
        request=request,
        started=started,
        recipe=recipe,
        schedule=schedule,
        device=device,
        training=training,
        validation=held,
        held_out=validation is None,
        near_leaks=near_leaks,
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
