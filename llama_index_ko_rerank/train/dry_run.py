"""Estimate of a training run: rows, steps, seconds and memory, measured on a few steps that are thrown away."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers import TrainingArguments as TrainerArguments

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.bi_encoder import prepare_bi_encoder
from llama_index_ko_rerank.train.cross_encoder import prepare_cross_encoder
from llama_index_ko_rerank.train.recipes.recipe import ModelTask
from llama_index_ko_rerank.train.run import TrainingPlan, validate_run
from llama_index_ko_rerank.train.trainer.trainer import TrainingStage, make_trainer

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)
_TIMED_STEPS = 4  # the first of them is not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    """Rows, steps and seconds of one stage.

    Attributes:
        loss: The loss's name.
        rows: Rows an epoch.
        epochs: Passes over the rows.
        batch_size: Rows a step.
        steps: Steps, if it does not stop early.
        evaluations: Evaluations on the way, each with a checkpoint.
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
    """Rows, steps, seconds and memory of a training run.

    Attributes:
        training_rows: Questions with contexts, or sentence pairs, before negatives are added.
        validation_rows: Those that choose the best step.
        contaminated_rows: Training rows that nearly copied a validation row.
        cut_rows: Training texts that are longer than the model reads.
        notes: Mined negatives and class sizes.
        stages: The stages, one after the other.
        evaluation_seconds: Seconds of one evaluation.
        seconds: Seconds of the whole run: preparation, steps and evaluations.
        memory_bytes: Peak memory so far: of the process, or on a GPU what torch had reserved of it.
    """

    training_rows: int
    validation_rows: int
    contaminated_rows: int
    cut_rows: int
    notes: tuple[str, ...]
    stages: tuple[StageEstimate, ...]
    evaluation_seconds: float
    seconds: float
    memory_bytes: int

    def lines(self) -> list[str]:
        """Write the estimate in lines of text."""
        lines = [f"{self.training_rows:,} training rows, {self.validation_rows:,} for validation"]
        if self.contaminated_rows:
            lines.append(f"{self.contaminated_rows:,} training rows nearly copy a validation row")
        if self.cut_rows:
            lines.append(f"{self.cut_rows:,} training texts are longer than the model reads")
        lines += self.notes
        for number, stage in enumerate(self.stages, start=1):
            lines.append(
                f"stage {number}: {stage.loss}, {stage.rows:,} rows x {stage.epochs} epochs in batches of "
                f"{stage.batch_size}: {stage.steps:,} steps of {stage.step_seconds:.3f} s, "
                f"{stage.evaluations} evaluations of {self.evaluation_seconds:.1f} s"
            )
        lines.append(f"time: about {_duration(self.seconds)}; memory: {self.memory_bytes / 2**30:.2f} GiB at most")
        return lines


def estimate_training(
    task: ModelTask,
    dataset: RetrievalDataset | PairDataset,
    output_dir: str | Path,
    *,
    arguments: TrainingArguments = TrainingArguments(),
    validation: RetrievalDataset | PairDataset | None = None,
) -> TrainingEstimate:
    """Estimate rows, steps, time and memory of a run, and write nothing into its folder.

    Every check of a real run is made, the rows are made as it would make them (hard negatives are mined), and a few
    steps are timed on a copy of the model that is then thrown away.

    Raises:
        KoRerankError: What the run itself would raise before its first step.
    """
    run = validate_run(task, dataset, output_dir, validation=validation, arguments=arguments, writes=False)
    return _measure(prepare_bi_encoder(run)) if task == "bi-encoder" else _measure(prepare_cross_encoder(run))


def _measure(plan: TrainingPlan[_Model]) -> TrainingEstimate:
    """Time a few steps of each stage and one evaluation; the model is spoilt by that and must not be used."""
    run, model = plan.run, plan.base.model
    preparation = time.perf_counter() - run.started
    began = time.perf_counter()
    plan.stages[0].evaluator(model)
    evaluation = time.perf_counter() - began
    stages = tuple(_stage(model, stage, seed=run.arguments.seed, device=run.device) for stage in plan.stages)
    return TrainingEstimate(
        training_rows=len(run.training.pairs),
        validation_rows=len(run.validation.pairs),
        contaminated_rows=run.contaminated_rows,
        cut_rows=plan.cut_rows,
        notes=plan.notes,
        stages=stages,
        evaluation_seconds=evaluation,
        seconds=preparation
        + sum(stage.steps * stage.step_seconds + stage.evaluations * evaluation for stage in stages)
        + evaluation,
        memory_bytes=_peak_memory(run.device),
    )


def _stage(model: _Model, stage: TrainingStage[_Model], *, seed: int, device: str) -> StageEstimate:
    schedule = stage.schedule
    return StageEstimate(
        loss=type(stage.loss).__name__,
        rows=schedule.rows,
        epochs=schedule.epochs,
        batch_size=schedule.batch_size,
        steps=schedule.steps,
        evaluations=-(-schedule.steps // schedule.evaluate_every),
        step_seconds=_step_seconds(model, stage, seed=seed, device=device),
    )


def _step_seconds(model: _Model, stage: TrainingStage[_Model], *, seed: int, device: str) -> float:
    """Train a few steps with nothing evaluated or saved, and time all but the first."""
    steps = min(_TIMED_STEPS, stage.schedule.steps)
    short = replace(stage, schedule=replace(stage.schedule, steps=steps, max_steps=steps, evaluate_every=steps + 1))
    clock = _Clock(device)
    with tempfile.TemporaryDirectory() as folder, no_library_bars():
        trainer = make_trainer(model, short, Path(folder), seed=seed, device=device)
        trainer.args.save_strategy = "no"
        trainer.add_callback(clock)
        trainer.train()
    return clock.mean()


class _Clock(TrainerCallback):
    """Clock of the steps."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._times: list[float] = []

    def on_step_begin(
        self,
        args: TrainerArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note the beginning of the first step."""
        if state.global_step == 0:
            self._note()

    def on_step_end(
        self,
        args: TrainerArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Note the end of every step."""
        self._note()

    def mean(self) -> float:
        """Average the steps after the first, or give the first where there is no other."""
        spans = [later - earlier for earlier, later in pairwise(self._times)]
        return sum(spans[1:]) / len(spans[1:]) if len(spans) > 1 else sum(spans)

    def _note(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())


def _peak_memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
