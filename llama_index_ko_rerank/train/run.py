"""One run from the checked session to the folder of the model, for an embedding model and for a cross-encoder alike."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.train.model_card import CardFacts, TrainingResult, model_card
from llama_index_ko_rerank.train.models.loading import Base
from llama_index_ko_rerank.train.setup import Session
from llama_index_ko_rerank.train.trainer.checkpoints import newest_checkpoint, raise_disk_full
from llama_index_ko_rerank.train.trainer.distributed import barrier, is_main_process
from llama_index_ko_rerank.train.trainer.trainer import Lesson, Outcome, run_stages, stage_folders

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_log = logging.getLogger(__name__)


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
    if is_main_process():
        session.output.begin(_record(prepared))
    barrier()
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
    if is_main_process():
        _publish(prepared, result)
    barrier()
    return result


def _publish(prepared: Prepared[_Model], result: TrainingResult) -> None:
    output, model = prepared.session.output, prepared.base.model
    card = model_card(result, _facts(prepared))
    if prepared.finish is not None:
        prepared.finish(model)
    with raise_disk_full(output.path, "make room and pass resume=True; only the writing of the model is left"):
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
