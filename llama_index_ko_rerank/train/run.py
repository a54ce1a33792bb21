"""One training run: settings and data checked, the model trained, its folder written."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar, get_args

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.data.rows import Rows, check_trainable, read_rows
from llama_index_ko_rerank.train.data.splits import drop_contaminated, split_rows
from llama_index_ko_rerank.train.model_card import CardFacts, TrainingResult, model_card
from llama_index_ko_rerank.train.models.loading import StartingModel, is_static_folder
from llama_index_ko_rerank.train.recipes import find_recipe
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, DataKind, ModelTask, Recipe, Schedule
from llama_index_ko_rerank.train.recipes.schedule import choose_device, override_schedule
from llama_index_ko_rerank.train.trainer.checkpoints import OutputFolder, newest_checkpoint, raise_disk_full
from llama_index_ko_rerank.train.trainer.distributed import barrier, init_process_group, is_main_process
from llama_index_ko_rerank.train.trainer.trainer import Outcome, TrainingStage, run_stages, stage_folders

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedRun:
    """Settings and data that passed every check that needs no model.

    Attributes:
        arguments: The settings.
        started: Start time, by `time.perf_counter`.
        recipe: The recipe.
        schedule: The recipe's schedule for this base with the user's settings.
        device: ``cpu``, ``cuda`` or ``mps``.
        training: Rows to learn from.
        validation: Rows to choose the best step by.
        held_out: Whether the validation rows were taken from the training data.
        contaminated_rows: Training rows that nearly copied a validation row.
        output: The folder of the model.
    """

    arguments: TrainingArguments
    started: float
    recipe: Recipe
    schedule: Schedule
    device: str
    training: Rows
    validation: Rows
    held_out: bool
    contaminated_rows: int
    output: OutputFolder


def validate_run(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    validation: RetrievalDataset | PairDataset | None,
    arguments: TrainingArguments,
    writes: bool = True,
) -> ValidatedRun:
    """Check settings, data and output folder, in this order, before anything is loaded or written.

    Raises:
        InvalidSetting: A setting is unknown, out of range or does not fit the data, or the folder is not free.
        EmptyCorpus, MalformedData, SplitLeak, InvalidText: The data cannot be learnt from.
    """
    started = time.perf_counter()
    if arguments.pooling is not None and arguments.pooling not in get_args(PoolingMode):
        raise InvalidSetting(
            f"there is no pooling {arguments.pooling!r}; {nearest(str(arguments.pooling), get_args(PoolingMode))}"
        )
    if task == "cross-encoder" and arguments.pooling is not None:
        raise InvalidSetting(f"pooling={arguments.pooling!r} belongs to embedding models; a cross-encoder has none")
    kind: DataKind = "retrieval" if isinstance(dataset, RetrievalDataset) else "sentence-pairs"
    recipe = find_recipe(arguments.recipe, task=task, data=kind)
    schedule = override_schedule(
        _schedule(recipe, arguments.base),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        warmup_steps=arguments.warmup_steps,
    )
    if arguments.max_steps is not None and arguments.max_steps < 1:
        raise InvalidSetting(f"max_steps must be 1 or more, not {arguments.max_steps}")
    device = choose_device(arguments.device)
    init_process_group(device, batch_size=schedule.batch_size)
    everything = read_rows(dataset, classes=recipe.learns_classes)
    check_trainable(everything)
    given = None if validation is None else read_rows(validation, classes=recipe.learns_classes)
    training, held = split_rows(everything, given, seed=arguments.seed)
    training, contaminated_rows = drop_contaminated(training, held, drop=recipe.drops_near_leaks)
    if contaminated_rows and recipe.drops_near_leaks:
        check_trainable(training)
    output = OutputFolder.prepare(output_dir, overwrite=arguments.overwrite, resume=arguments.resume, writes=writes)
    barrier()  # all of them have looked at the folder before one writes into it
    return ValidatedRun(
        arguments=arguments,
        started=started,
        recipe=recipe,
        schedule=schedule,
        device=device,
        training=training,
        validation=held,
        held_out=validation is None,
        contaminated_rows=contaminated_rows,
        output=output,
    )


def _schedule(recipe: Recipe, base: str) -> Schedule:
    """Return the schedule for a base: static embeddings at the rates of one from nothing, transformers gently."""
    if base != SCRATCH and (recipe.scratch is None or not is_static_folder(base)):
        return recipe.schedule
    if recipe.scratch is None:
        raise InvalidSetting(
            f"the recipe {recipe.name!r} needs a trained base: pass a folder or a hub name, not 'scratch'"
        )
    return recipe.scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(Generic[_Model]):
    """A starting model with its stages, before the first step.

    Attributes:
        run: The settings and data.
        base: The model; training changes it.
        stages: The stages, one after the other.
        cut_rows: Training texts that are longer than the model reads.
        notes: Mined negatives and class sizes, for the estimate and the card.
        initialize: Sets weights from the data before the first step, such as the rarity of tokens.
        finish: Changes the trained model before it is written.
    """

    run: ValidatedRun
    base: StartingModel[_Model]
    stages: Sequence[TrainingStage[_Model]]
    cut_rows: int
    notes: tuple[str, ...] = ()
    initialize: Callable[[_Model], None] | None = None
    finish: Callable[[_Model], None] | None = None


def run_training(plan: TrainingPlan[_Model]) -> TrainingResult:
    """Measure the base, train it, and write the best step's weights with their card.

    Raises:
        DiskFull: A checkpoint or the model could not be written; checkpoints before that are whole.
    """
    run, model, stages = plan.run, plan.base.model, plan.stages
    evaluator = stages[0].evaluator
    untrained_value = start_value = evaluator(model)
    if plan.initialize is not None:
        plan.initialize(model)
        start_value = evaluator(model)
    checkpoints = run.output.checkpoints
    if is_main_process():
        run.output.begin(_record(plan))
    barrier()
    resumable = any(map(newest_checkpoint, stage_folders(checkpoints, len(stages))))
    if run.arguments.resume and not resumable:
        _log.warning("there is no whole checkpoint in %s, so training begins at step 0", checkpoints)
    outcome: Outcome = run_stages(
        model,
        stages,
        checkpoints=checkpoints,
        seed=run.arguments.seed,
        device=run.device,
        show_progress=run.arguments.show_progress,
    )
    history = ((0, start_value), *outcome.history)
    result = TrainingResult(
        path=run.output.path,
        recipe=run.recipe.name,
        base=plan.base.name,
        training_rows=stages[0].schedule.rows,
        steps=outcome.steps,
        metric=evaluator.metric,
        best_step=outcome.best_step,
        best_value=dict(history)[outcome.best_step],
        untrained_value=untrained_value,
        history=history,
        seconds=time.perf_counter() - run.started,
    )
    if not result.improved:
        _log.warning(
            "no step beat the start of training (%s %.4f, best %.4f at step %d): the model in %s is no better for it",
            *(result.metric, start_value, result.best_value, result.best_step, result.path),
        )
    if is_main_process():
        _publish(plan, result)
    barrier()
    return result


def _publish(plan: TrainingPlan[_Model], result: TrainingResult) -> None:
    output, model = plan.run.output, plan.base.model
    card = model_card(result, _facts(plan))
    if plan.finish is not None:
        plan.finish(model)
    with raise_disk_full(output.path, "make room and pass resume=True; only the writing of the model is left"):
        output.publish(lambda folder: _write(model, folder, card), keep_checkpoints=plan.run.arguments.keep_checkpoints)


def _write(model: SentenceTransformer | CrossEncoder, folder: Path, card: str) -> None:
    with no_library_bars():
        model.save_pretrained(str(folder), create_model_card=False)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _record(plan: TrainingPlan[_Model]) -> dict[str, object]:
    """Record of what decides the weights of a run, so that it is resumed with nothing else."""
    run, base = plan.run, plan.base
    return {
        "recipe": run.recipe.name,
        "settings": asdict(run.recipe),
        "base": base.name,
        "revision": base.revision,
        "pooling": base.pooling,
        "layers": plan.run.arguments.layers,
        "frozen embeddings": base.has_frozen_embeddings,
        "seed": run.arguments.seed,
        "schedules": [_settings(stage.schedule) for stage in plan.stages],
        "steps": [stage.schedule.steps for stage in plan.stages],
        "training rows": _digest([stage.columns for stage in plan.stages]),
        "validation rows": _digest(run.validation.pairs),
    }


def _settings(schedule: Schedule) -> dict[str, object]:
    return {setting.name: getattr(schedule, setting.name) for setting in fields(Schedule)}


def _digest(content: object) -> str:
    return "sha256:" + hashlib.sha256(repr(content).encode()).hexdigest()


def _facts(plan: TrainingPlan[_Model]) -> CardFacts:
    run, base, stage = plan.run, plan.base, plan.stages[0]
    training, validation = run.training, run.validation
    source = "a part held out of the training data" if run.held_out else f"`{validation.name}`"
    return CardFacts(
        recipe=run.recipe,
        schedules=tuple(stage.schedule for stage in plan.stages),
        revision=base.revision,
        data={
            "training": f"`{training.name}`, {stage.schedule.rows:,} rows an epoch from {len(training.pairs):,} pairs, "
            f"with {len(set(training.keys())):,} distinct {training.unit}",
            "validation": f"{source}, {len(validation.pairs):,} pairs with {len(set(validation.keys())):,} distinct "
            f"{validation.unit}, none of them in training",
        },
        notes=plan.notes,
        evaluator_description=stage.evaluator.description,
        max_tokens=base.max_tokens,
        pooling=base.pooling,
        layers=run.arguments.layers,
        has_frozen_embeddings=base.has_frozen_embeddings,
        prompts={name: prompt for name, prompt in stage.prompts.items() if prompt},
        cut_rows=plan.cut_rows,
        seed=run.arguments.seed,
        device=run.device,
    )
