"""What training an embedding model and a cross-encoder have in common: checks first, then one run, then the folder."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.bases import Base
from llama_index_ko_rerank.train.holdout import split_rows
from llama_index_ko_rerank.train.loop import Lesson, Outcome, run
from llama_index_ko_rerank.train.model_card import CardFacts, model_card
from llama_index_ko_rerank.train.output import OutputFolder
from llama_index_ko_rerank.train.plan import adjust_schedule, choose_device
from llama_index_ko_rerank.train.preflight import check_learnable
from llama_index_ko_rerank.train.recipes import SCRATCH, DataKind, ModelTask, Recipe, Schedule, find_recipe
from llama_index_ko_rerank.train.result import TrainingResult
from llama_index_ko_rerank.train.rows import Rows, read_rows

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; None is the recipe's."""

    output_dir: str | Path
    base: str
    recipe: str | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    warmup_steps: int | None
    max_steps: int | None
    seed: int
    resume: bool
    overwrite: bool
    keep_checkpoints: bool
    show_progress: bool
    device: str | None


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
        output: Where to write.
    """

    request: Request
    started: float
    recipe: Recipe
    schedule: Schedule
    device: str
    training: Rows
    validation: Rows
    held_out: bool
    output: OutputFolder


def open_session(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    validation: RetrievalDataset | PairDataset | None,
    request: Request,
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
        recipe.scratch if request.base == SCRATCH else recipe.schedule,
        epochs=request.epochs,
        batch_size=request.batch_size,
        learning_rate=request.learning_rate,
        warmup_steps=request.warmup_steps,
    )
    if request.max_steps is not None and request.max_steps < 1:
        raise InvalidSetting(f"max_steps must be 1 or more, not {request.max_steps}")
    device = choose_device(request.device)
    everything = read_rows(dataset)
    check_learnable(everything)
    training, held = split_rows(everything, None if validation is None else read_rows(validation), seed=request.seed)
    return Session(
        request=request,
        started=started,
        recipe=recipe,
        schedule=schedule,
        device=device,
        training=training,
        validation=held,
        held_out=validation is None,
        output=OutputFolder.prepare(request.output_dir, overwrite=request.overwrite, resume=request.resume),
    )


def teach(
    session: Session,
    base: Base[_Model],
    lesson: Lesson[_Model],
    *,
    cut_rows: int,
    first_weights: Callable[[_Model], None] | None = None,
) -> TrainingResult:
    """Measure the base, train it, and write the best step's weights with their card.

    Args:
        session: What was asked and checked.
        base: The model; it is changed.
        lesson: What to teach.
        cut_rows: Training texts that are longer than the model reads, for the card.
        first_weights: What is learnt from the data before the first step, such as the rarity of tokens.
    """
    untrained_value = start_value = lesson.probe.value(base.model)
    if first_weights is not None:
        first_weights(base.model)
        start_value = lesson.probe.value(base.model)
    resume_from = session.output.begin(_record(session, base, lesson))
    if session.request.resume and resume_from is None:
        _log.warning("there is no whole checkpoint in %s, so training begins at step 0", session.output.checkpoints)
    outcome: Outcome = run(
        base.model,
        lesson,
        checkpoints=session.output.checkpoints,
        resume_from=resume_from,
        seed=session.request.seed,
        device=session.device,
        show_progress=session.request.show_progress,
    )
    history = ((0, start_value), *outcome.history)
    result = TrainingResult(
        path=session.output.path,
        recipe=session.recipe.name,
        base=base.name,
        training_rows=lesson.plan.rows,
        steps=outcome.steps,
        metric=lesson.probe.metric,
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
    card = model_card(result, _facts(session, base, lesson, cut_rows))
    session.output.publish(
        lambda folder: _write(base.model, folder, card), keep_checkpoints=session.request.keep_checkpoints
    )
    return result


def _write(model: SentenceTransformer | CrossEncoder, folder: Path, card: str) -> None:
    with no_library_bars():
        model.save_pretrained(str(folder), create_model_card=False)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _record(session: Session, base: Base[_Model], lesson: Lesson[_Model]) -> dict[str, object]:
    """Name what decides the weights of a run, so that it is resumed with nothing else."""
    return {
        "recipe": session.recipe.name,
        "base": base.name,
        "revision": base.revision,
        "pooling": base.pooling,
        "seed": session.request.seed,
        "schedule": asdict(lesson.plan.schedule),
        "steps": lesson.plan.steps,
        "training rows": _digest(lesson.columns),
        "validation rows": _digest(session.validation.pairs),
    }


def _digest(content: object) -> str:
    return "sha256:" + hashlib.sha256(repr(content).encode()).hexdigest()


def _facts(session: Session, base: Base[_Model], lesson: Lesson[_Model], cut_rows: int) -> CardFacts:
    training, validation = session.training, session.validation
    source = "a part held out of the training data" if session.held_out else f"`{validation.name}`"
    return CardFacts(
        recipe=session.recipe,
        plan=lesson.plan,
        revision=base.revision,
        data={
            "training": f"`{training.name}`, {lesson.plan.rows:,} rows an epoch from {len(training.pairs):,} pairs, "
            f"with {len(set(training.keys())):,} distinct {training.unit}",
            "validation": f"{source}, {len(validation.pairs):,} pairs with {len(set(validation.keys())):,} distinct "
            f"{validation.unit}, none of them in training",
        },
        max_tokens=base.max_tokens,
        pooling=base.pooling,
        prompts={name: prompt for name, prompt in lesson.prompts.items() if prompt},
        cut_rows=cut_rows,
        seed=session.request.seed,
        device=session.device,
    )
