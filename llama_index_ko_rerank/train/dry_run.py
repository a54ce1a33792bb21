"""What a training run would take: rows, steps, time and memory, measured on a few steps that are thrown away."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.train.run import Prepared
from llama_index_ko_rerank.train.trainer.trainer import Lesson, make_trainer

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_TIMED_STEPS = 4  # the first of them is not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class StageForecast:
    """One lesson of the run.

    Attributes:
        loss: The loss's name.
        rows: Rows an epoch.
        epochs: How often they are seen.
        batch_size: Rows a step.
        steps: Steps, if it does not stop early.
        evaluations: Measurements on the way, each with a checkpoint.
        step_seconds: The mean of the timed steps.
    """

    loss: str
    rows: int
    epochs: int
    batch_size: int
    steps: int
    evaluations: int
    step_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """What a training run would do and take.

    Attributes:
        recipe: The recipe's name.
        base: What it starts from.
        device: What it runs on.
        training_rows: Questions with contexts, or sentence pairs, before negatives are added.
        validation_rows: Those that the best step is chosen by.
        find_contamination: Training rows that nearly copied a validation row.
        cut_rows: Training texts that are longer than the model reads.
        notes: What was found while the rows were made: mined negatives, class sizes.
        stages: The lessons, one after the other.
        preparation_seconds: What loading, checking and mining took.
        evaluation_seconds: What one measurement takes.
        seconds: The whole run: preparation, steps, and measurements.
        parameters: Numbers in the model, and how many of them learn.
        memory_bytes: The most memory in use so far: of the process, or on a GPU what torch had reserved of it.
        checkpoint_bytes: What the checkpoints of the run need on disk at most.
    """

    recipe: str
    base: str
    device: str
    training_rows: int
    validation_rows: int
    find_contamination: int
    cut_rows: int
    notes: tuple[str, ...]
    stages: tuple[StageForecast, ...]
    preparation_seconds: float
    evaluation_seconds: float
    seconds: float
    parameters: tuple[int, int]
    memory_bytes: int
    checkpoint_bytes: int

    def lines(self) -> list[str]:
        """Say it all in lines of text."""
        total, learning = self.parameters
        said = [
            f"recipe {self.recipe}, base {self.base}, on {self.device}",
            f"{self.training_rows:,} training rows, {self.validation_rows:,} for validation",
            *(
                f"{self.find_contamination:,} training rows nearly copy a validation row"
                for _ in range(self.find_contamination > 0)
            ),
            *(f"{self.cut_rows:,} training texts are longer than the model reads" for _ in range(self.cut_rows > 0)),
            *self.notes,
        ]
        for number, stage in enumerate(self.stages, start=1):
            said.append(
                f"stage {number}: {stage.loss}, {stage.rows:,} rows x {stage.epochs} epochs in batches of "
                f"{stage.batch_size}: {stage.steps:,} steps of {stage.step_seconds:.3f} s, "
                f"{stage.evaluations} measurements of {self.evaluation_seconds:.1f} s"
            )
        said.append(f"time: about {_duration(self.seconds)}, of which {self.preparation_seconds:.0f} s to prepare")
        said.append(
            f"memory: {self.memory_bytes / 2**30:.2f} GiB at most; {total:,} parameters, {learning:,} of them learn; "
            f"disk: up to {self.checkpoint_bytes / 2**30:.2f} GiB of checkpoints"
        )
        return said


def forecast(prepared: Prepared[_Model]) -> TrainingEstimate:
    """Time a few steps of each lesson and one measurement; the model is spoilt by that and must not be used."""
    session, model = prepared.session, prepared.base.model
    preparation = time.perf_counter() - session.started
    began = time.perf_counter()
    prepared.lessons[0].probe.value(model)
    evaluation = time.perf_counter() - began
    stages = tuple(
        _stage(lesson, _step_seconds(model, lesson, seed=session.request.seed, device=session.device))
        for lesson in prepared.lessons
    )
    total = sum(parameter.numel() for parameter in model.parameters())
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return TrainingEstimate(
        recipe=session.recipe.name,
        base=prepared.base.name,
        device=session.device,
        training_rows=len(session.training.pairs),
        validation_rows=len(session.validation.pairs),
        find_contamination=session.find_contamination,
        cut_rows=prepared.cut_rows,
        notes=prepared.notes,
        stages=stages,
        preparation_seconds=preparation,
        evaluation_seconds=evaluation,
        seconds=preparation
        + sum(stage.steps * stage.step_seconds + stage.evaluations * evaluation for stage in stages)
        + evaluation,
        parameters=(total, learning),
        memory_bytes=_peak_memory(session.device),
        # the best and the last of a lesson, and the one being written; the optimizer keeps two numbers a weight
        checkpoint_bytes=3 * 3 * 4 * learning * len(stages),
    )


def _stage(lesson: Lesson[_Model], step_seconds: float) -> StageForecast:
    plan = lesson.plan
    return StageForecast(
        loss=type(lesson.loss).__name__,
        rows=plan.rows,
        epochs=plan.schedule.epochs,
        batch_size=plan.schedule.batch_size,
        steps=plan.steps,
        evaluations=-(-plan.steps // plan.evaluate_every),
        step_seconds=step_seconds,
    )


def _step_seconds(model: _Model, lesson: Lesson[_Model], *, seed: int, device: str) -> float:
    """Train a few steps with nothing measured or saved, and time all but the first."""
    steps = min(_TIMED_STEPS, lesson.plan.steps)
    short = replace(lesson, plan=replace(lesson.plan, steps=steps, max_steps=steps, evaluate_every=steps + 1))
    clock = _Clock(device)
    with tempfile.TemporaryDirectory() as folder, no_library_bars():
        trainer = make_trainer(model, short, Path(folder), seed=seed, device=device)
        trainer.args.save_strategy = "no"
        trainer.add_callback(clock)
        trainer.train()
    return clock.mean()


class _Clock(TrainerCallback):
    """Notes when each step began and ended."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._times: list[float] = []

    def on_step_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note the beginning of the first step."""
        if state.global_step == 0:
            self._note()

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note the end of every step."""
        self._note()

    def mean(self) -> float:
        """Average the steps after the first, or give the first where there is no other."""
        spans = _differences(self._times)
        return sum(spans[1:]) / len(spans[1:]) if len(spans) > 1 else sum(spans)

    def _note(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())


def _differences(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def _peak_memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
