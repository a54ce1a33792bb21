"""What training an embedding model and a cross-encoder have in common: checks first, then one run, then the folder."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.bases import Base
from llama_index_ko_rerank.train.disk_room import full_disk_is_said
from llama_index_ko_rerank.train.holdout import split_rows
from llama_index_ko_rerank.train.leaks import without_near_leaks
from llama_index_ko_rerank.train.loop import Lesson, Outcome
from llama_index_ko_rerank.train.model_card import CardFacts, model_card
from llama_index_ko_rerank.train.output import OutputFolder, newest_checkpoint
from llama_index_ko_rerank.train.plan import adjust_schedule, choose_device
from llama_index_ko_rerank.train.preflight import check_learnable
from llama_index_ko_rerank.train.recipe import SCRATCH, DataKind, ModelTask, Recipe, Schedule
from llama_index_ko_rerank.train.recipes import find_recipe
from llama_index_ko_rerank.train.request import TrainingRequest
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.rows import Rows, read_rows
from llama_index_ko_rerank.train.stages import run_stages, stage_folders

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Generic[_Model]):
    """Everything that a run needs, nothing of it learnt yet.

    Attributes:
        session: What was asked and checked.
        base: The model; training changes it.
        lessons: What to teach, one after the other.
        cut_rows: Training texts that are longer than the model reads.
        notes: What was found while the rows were made, for the plan and the card.
        first_weights: What is learnt from the data before the first step, such as the rarity of tokens.
        finish: What is done with the trained model before it is written.
    """

    session: Session
    base: Base[_Model]
    lessons: Sequence[Lesson[_Model]]
    cut_rows: int
    notes: tuple[str, ...] = ()
    first_weights: Callable[[_Model], None] | None = None
    finish: Callable[[_Model], None] | None = None


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
    everything = read_rows(dataset, classes=recipe.learns_classes)
    check_learnable(everything)
    given = None if validation is None else read_rows(validation, classes=recipe.learns_classes)
    training, held = split_rows(everything, given, seed=request.seed)
    training, near_leaks = without_near_leaks(training, held, drop=recipe.drops_near_leaks)
    if near_leaks and recipe.drops_near_leaks:
        check_learnable(training)
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
        output=OutputFolder.prepare(
            request.output_dir, overwrite=request.overwrite, resume=request.resume, writes=writes
        ),
    )


def _schedule(recipe: Recipe, base: str) -> Schedule:
    if base != SCRATCH:
        return recipe.schedule
    if recipe.scratch is None:
        raise InvalidSetting(
            f"the recipe {recipe.name!r} needs a trained base: pass a folder or a hub name, not 'scratch'"
        )
    return recipe.scratch


def teach(prepared: Prepared[_Model]) -> TrainingResult:
    """Measure the base, train it, and write the best step's weights with their card.

    Raises:
        DiskFull: A checkpoint or the model could not be written; checkpoints before that are whole.
    """
    session, model, lessons = prepared.session, prepared.base.model, prepared.lessons
    probe = lessons[0].probe
    untrained_value = start_value = probe.value(model)
    if prepared.first_weights is not None:
        prepared.first_weights(model)
        start_value = probe.value(model)
    checkpoints = session.output.checkpoints
    session.output.begin(_record(prepared))
    resumable = any(map(newest_checkpoint, stage_folders(checkpoints, len(lessons))))
    if session.request.resume and not resumable:
        _log.warning("there is no whole checkpoint in %s, so training begins at step 0", checkpoints)
    outcome: Outcome = run_stages(
        model,
        lessons,
        checkpoints=checkpoints,
        seed=session.request.seed,
        device=session.device,
        show_progress=session.request.show_progress,
    )
    history = ((0, start_value), *outcome.history)
    result = TrainingResult(
        path=session.output.path,
        recipe=session.recipe.name,
        base=prepared.base.name,
        training_rows=lessons[0].plan.rows,
        steps=outcome.steps,
        metric=probe.metric,
        best_step=outcome.best_step,
        best_value=dict(history)[outcome.best_step],
        untrained_value=untrained_value,
        history=history,
        seconds=time.perf_counter() - session.started,
    )
    if not result.improved:
        _log.warning(
            "no step beat the start of training (%s %.4f, best %.4f at step %d): the model in %s is no better for it",
            *(result.metric, start_value, result.best_value, result.best_step, result.path),
        )
    _publish(prepared, result)
    return result


def _publish(prepared: Prepared[_Model], result: TrainingResult) -> None:
    output, model = prepared.session.output, prepared.base.model
    card = model_card(result, _facts(prepared))
    if prepared.finish is not None:
        prepared.finish(model)
    with full_disk_is_said(output.path, "make room and pass resume=True; only the writing of the model is left"):
        output.publish(
            lambda folder: _write(model, folder, card), keep_checkpoints=prepared.session.request.keep_checkpoints
        )


def _write(model: SentenceTransformer | CrossEncoder, folder: Path, card: str) -> None:
    with no_library_bars():
        model.save_pretrained(str(folder), create_model_card=False)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _record(prepared: Prepared[_Model]) -> dict[str, object]:
    """Name what decides the weights of a run, so that it is resumed with nothing else."""
    session, base = prepared.session, prepared.base
    return {
        "recipe": session.recipe.name,
        "settings": asdict(session.recipe),
        "base": base.name,
        "revision": base.revision,
        "pooling": base.pooling,
        "seed": session.request.seed,
        "schedules": [asdict(lesson.plan.schedule) for lesson in prepared.lessons],
        "steps": [lesson.plan.steps for lesson in prepared.lessons],
        "training rows": _digest([lesson.columns for lesson in prepared.lessons]),
        "validation rows": _digest(session.validation.pairs),
    }


def _digest(content: object) -> str:
    return "sha256:" + hashlib.sha256(repr(content).encode()).hexdigest()


def _facts(prepared: Prepared[_Model]) -> CardFacts:
    session, base, lesson = prepared.session, prepared.base, prepared.lessons[0]
    training, validation = session.training, session.validation
    source = "a part held out of the training data" if session.held_out else f"`{validation.name}`"
    return CardFacts(
        recipe=session.recipe,
        plans=tuple(lesson.plan for lesson in prepared.lessons),
        revision=base.revision,
        data={
            "training": f"`{training.name}`, {lesson.plan.rows:,} rows an epoch from {len(training.pairs):,} pairs, "
            f"with {len(set(training.keys())):,} distinct {training.unit}",
            "validation": f"{source}, {len(validation.pairs):,} pairs with {len(set(validation.keys())):,} distinct "
            f"{validation.unit}, none of them in training",
        },
        notes=prepared.notes,
        probe_note=lesson.probe.note,
        max_tokens=base.max_tokens,
        pooling=base.pooling,
        prompts={name: prompt for name, prompt in lesson.prompts.items() if prompt},
        cut_rows=prepared.cut_rows,
        seed=session.request.seed,
        device=session.device,
    )
