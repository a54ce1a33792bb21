"""Several lessons one after the other, each from the best weights of the one before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.evaluate.rendering import write_json_file
from llama_index_ko_rerank.train.distributed import is_first
from llama_index_ko_rerank.train.loop import Lesson, Outcome, load_weights, run
from llama_index_ko_rerank.train.output import newest_checkpoint

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_OUTCOME = "outcome.json"


def run_stages(
    model: _Model,
    lessons: Sequence[Lesson[_Model]],
    *,
    checkpoints: Path,
    seed: int,
    device: str,
    show_progress: bool,
) -> Outcome:
    """Train a model by each lesson in turn, and leave it with the weights of the best measured step of all.

    A single lesson keeps its checkpoints in the folder itself, several keep them in ``stage-1`` and so on. Where the
    folder holds checkpoints of this run, it goes on from the newest; a lesson that has ended is not begun again.

    Args:
        model: The base.
        lessons: At least one; all are measured by one probe.
        checkpoints: Where checkpoints are kept.
        seed: As of `run`, for each lesson.
        device: ``cpu``, ``cuda`` or ``mps``.
        show_progress: Draw a bar.

    Returns:
        Steps counted through all lessons, and the measurements of all.

    Raises:
        DiskFull: A checkpoint could not be written; the earlier ones are whole.
    """
    folders = stage_folders(checkpoints, len(lessons))
    outcomes: list[Outcome] = []
    for lesson, folder in zip(lessons, folders, strict=True):
        outcome = _ended(folder) if len(lessons) > 1 else None
        if outcome is None:
            outcome = run(
                model,
                lesson,
                checkpoints=folder,
                resume_from=newest_checkpoint(folder),
                seed=seed,
                device=device,
                show_progress=show_progress,
            )
            if len(lessons) > 1 and is_first():
                _write_outcome(folder, outcome)
        else:
            load_weights(model, folder / f"checkpoint-{outcome.best_step}")
        outcomes.append(outcome)
    return _best_of(model, outcomes, folders)


def stage_folders(checkpoints: Path, count: int) -> list[Path]:
    """Name the folder of each lesson's checkpoints."""
    return [checkpoints] if count == 1 else [checkpoints / f"stage-{number}" for number in range(1, count + 1)]


def _best_of(model: _Model, outcomes: Sequence[Outcome], folders: Sequence[Path]) -> Outcome:
    """Join the outcomes, and where an earlier lesson was better than the last, take its weights."""
    history: list[tuple[int, float]] = []
    best: tuple[float, int, int] | None = None  # value, place of the lesson, step of the run
    steps = 0
    for place, outcome in enumerate(outcomes):
        value = dict(outcome.history)[outcome.best_step]
        if best is None or value > best[0]:
            best = value, place, steps + outcome.best_step
        history += [(steps + step, measured) for step, measured in outcome.history]
        steps += outcome.steps
    assert best is not None  # there is at least one lesson
    if best[1] != len(outcomes) - 1:
        load_weights(model, folders[best[1]] / f"checkpoint-{outcomes[best[1]].best_step}")
    return Outcome(steps, best[2], tuple(history))


def _ended(folder: Path) -> Outcome | None:
    """Read how a lesson of an earlier part of the run ended; None where it did not."""
    try:
        content = json.loads((folder / _OUTCOME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Outcome(content["steps"], content["best_step"], tuple((step, value) for step, value in content["history"]))


def _write_outcome(folder: Path, outcome: Outcome) -> None:
    content = {
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "history": [list(row) for row in outcome.history],
    }
    write_json_file(folder / _OUTCOME, content)
