"""One training run on the sentence-transformers trainers: seeded, evaluated, resumable, the best step kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.base.trainer import BaseTrainer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PrinterCallback, TrainerState

from llama_index_ko_rerank.embed.loading import no_library_bars
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.train.recipes.recipe import Batches
from llama_index_ko_rerank.train.recipes.schedule import ResolvedSchedule
from llama_index_ko_rerank.train.trainer.batching import (
    CachedTokenCollator,
    NoFalseNegativesBatchSampler,
    SeededBatchSampler,
    SharedBatches,
)
from llama_index_ko_rerank.train.trainer.callbacks import EarlyStopping, MetricProgressCallback, measured, should_stop
from llama_index_ko_rerank.train.trainer.checkpoints import newest_checkpoint, raise_disk_full
from llama_index_ko_rerank.train.trainer.distributed import (
    barrier,
    is_main_process,
    trainer_options,
    world_size,
)
from llama_index_ko_rerank.train.trainer.evaluators import Evaluator

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder)

_SAMPLERS = {
    "shuffled": SeededBatchSampler,
    "no-duplicates": BatchSamplers.NO_DUPLICATES,
    "apart": NoFalseNegativesBatchSampler,
}
_STATE = "trainer_state.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStage(Generic[_Model]):
    """One stage of training: a loss over rows, a schedule, and an evaluator.

    Attributes:
        loss: The sentence-transformers loss, made for the model.
        columns: The training rows by column, in the order that the loss wants; texts or lists of texts, and ``label``
            where it needs one. Nothing else may be here, since every other column would be fed to the model as text.
        prompts: The text put before each column's texts.
        batches: Which rows may share a batch.
        evaluator: Chooses the best step.
        schedule: Steps, batch size and rates.
        patience: Evaluations without a gain after which the stage ends; None for no such end.
    """

    loss: torch.nn.Module
    columns: Mapping[str, Sequence[object]]
    prompts: Mapping[str, str]
    batches: Batches
    evaluator: Evaluator[_Model]
    schedule: ResolvedSchedule
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Steps and evaluations of a run.

    Attributes:
        steps: Optimizer steps, those before a resume included.
        best_step: The step whose weights the model has now; of equal values the first.
        history: Step and value of each evaluation after step 0.
    """

    steps: int
    best_step: int
    history: tuple[tuple[int, float], ...]


def train_stage(
    model: _Model,
    stage: TrainingStage[_Model],
    *,
    checkpoints: Path,
    resume_from: Path | None,
    seed: int,
    device: str,
    show_progress: bool,
) -> Outcome:
    """Train a model in place, and leave it with the weights of the best evaluated step.

    Args:
        model: The base; where the run is resumed, made as it was for the first part.
        stage: Loss, rows, schedule and evaluator.
        checkpoints: Where the last and the best checkpoint are kept.
        resume_from: A checkpoint of the same run; None to begin.
        seed: Of the order of rows and of dropout. On a CPU, the same seed gives the same weights.
        device: ``cpu``, ``cuda`` or ``mps``.
        show_progress: Draw a bar.

    Raises:
        DiskFull: A checkpoint could not be written; the earlier ones are whole.
    """
    advice = "make room and pass resume=True to go on from the last whole checkpoint"
    try:
        with no_library_bars(), raise_disk_full(checkpoints, advice):
            state = _train(model, stage, checkpoints, resume_from, seed, device, show_progress)
            barrier()  # for the one that writes the checkpoints
            best_step = state.best_global_step or state.global_step
            if best_step != state.global_step:
                load_weights(model, checkpoints / f"checkpoint-{best_step}")
    except KeyboardInterrupt:
        _log.warning("training was interrupted; resume=True goes on from the last checkpoint in %s", checkpoints)
        raise
    metric = f"eval_{stage.evaluator.metric}"
    history = tuple((int(entry["step"]), float(entry[metric])) for entry in state.log_history if metric in entry)
    return Outcome(state.global_step, best_step, history)


def _train(
    model: _Model,
    stage: TrainingStage[_Model],
    checkpoints: Path,
    resume_from: Path | None,
    seed: int,
    device: str,
    show_progress: bool,
) -> TrainerState:
    """Run the trainer, unless it had run out of patience when it was interrupted."""
    metric = stage.evaluator.metric
    if resume_from is not None:
        earlier: TrainerState = TrainerState.load_from_json(str(resume_from / _STATE))
        if should_stop(measured(earlier, metric), stage.patience):
            return earlier
    trainer = make_trainer(model, stage, checkpoints, seed=seed, device=device)
    if show_progress:
        trainer.add_callback(MetricProgressCallback(metric))
    if stage.patience is not None:
        trainer.add_callback(EarlyStopping(metric, stage.patience))
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    state: TrainerState = trainer.state
    return state


def make_trainer(
    model: _Model, stage: TrainingStage[_Model], checkpoints: Path, *, seed: int, device: str
) -> SentenceTransformerTrainer | CrossEncoderTrainer:
    """Make the library's trainer for a stage; the arguments are those of `train_stage`."""
    from datasets import Dataset

    settings = {
        "model": model,
        "train_dataset": Dataset.from_dict(dict(stage.columns)),
        "loss": stage.loss,
        "evaluator": _EvaluatorAdapter(stage.evaluator),
    }
    options = _options(stage, checkpoints, seed=seed, device=device)
    trainer: SentenceTransformerTrainer | CrossEncoderTrainer
    if isinstance(model, CrossEncoder):
        trainer = _CrossEncoderTrainer(args=_one_device(CrossEncoderTrainingArguments(**options)), **settings)
    else:
        if isinstance(model[0], StaticEmbedding):
            settings["data_collator"] = SentenceTransformerDataCollator(
                preprocess_fn=CachedTokenCollator(model[0]), prompts=options["prompts"]
            )
        trainer = _BiEncoderTrainer(args=_one_device(SentenceTransformerTrainingArguments(**options)), **settings)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _options(stage: TrainingStage[_Model], checkpoints: Path, *, seed: int, device: str) -> dict[str, Any]:
    schedule = stage.schedule
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": schedule.epochs,
        "max_steps": schedule.max_steps
        if schedule.max_steps is not None and schedule.steps == schedule.max_steps
        else -1,
        "per_device_train_batch_size": schedule.batch_size,
        "learning_rate": schedule.learning_rate,
        "warmup_steps": schedule.warmup_steps,
        "weight_decay": schedule.weight_decay,
        "lr_scheduler_type": "linear",
        "batch_sampler": _SAMPLERS[stage.batches],
        "prompts": {column: prompt for column, prompt in stage.prompts.items() if prompt},
        "seed": seed,
        "eval_strategy": "steps",
        "eval_steps": schedule.evaluate_every,
        "save_strategy": "steps",
        "save_steps": schedule.evaluate_every,
        "save_total_limit": 2,  # the best and the last
        "metric_for_best_model": stage.evaluator.metric,
        "greater_is_better": True,
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,  # MetricProgressCallback draws instead
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device == "cuda",
        **trainer_options(device),
    }


_Arguments = TypeVar("_Arguments", SentenceTransformerTrainingArguments, CrossEncoderTrainingArguments)


def _one_device(arguments: _Arguments) -> _Arguments:
    """Keep the trainer from multiplying the batch by the number of GPUs: the recipe says how large it is."""
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def load_weights(model: _Model, checkpoint: Path) -> None:
    """Load a checkpoint's weights; unlike the trainer's own way, one that cannot be read is an error."""
    saved = type(model)(str(checkpoint), device=str(model.device), local_files_only=True)
    # Not strict: a BERT without a pooler is saved without one, and loaded with one that nothing reads.
    missing, _ = model.load_state_dict(saved.state_dict(), strict=False)
    if missing:
        raise RuntimeError(
            f"the checkpoint {str(checkpoint)!r} lacks {missing[0]} and {len(missing) - 1} other weights"
        )


class _EvaluatorAdapter(BaseEvaluator):
    """Evaluator in the form that the library's trainer calls."""

    def __init__(self, evaluator: Evaluator[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated
        self._evaluator = evaluator

    def __call__(
        self,
        model: Any,
        output_path: str | None = None,  # noqa: ARG002  the library's signature
        epoch: float = -1,  # noqa: ARG002
        steps: int = -1,  # noqa: ARG002
    ) -> dict[str, float]:
        """Measure the model."""
        return {self._evaluator.metric: self._evaluator(model)}


class _WeightsOnlyCheckpoints(BaseTrainer):
    """Checkpoints of weights alone: the library's model card would ask the hub, and cost an encoding, at each one."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave out the library's card; ours is written at the end."""

    def get_batch_sampler(self, *arguments: Any, **options: Any) -> Any:
        """Share the batches of one process among all; the arguments are the library's."""
        if world_size() == 1:
            return super().get_batch_sampler(*arguments, **options)
        # The library would leave out the last rows of an epoch, for fear that they cannot be shared evenly.
        return SharedBatches(super().get_batch_sampler(*arguments, **options | {"drop_last": False}), world_size())

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:  # noqa: ARG002
        self.model.save_pretrained(output_dir or str(self.args.output_dir), create_model_card=False)


class _BiEncoderTrainer(_WeightsOnlyCheckpoints, SentenceTransformerTrainer):
    """The trainer of embedding models."""


class _CrossEncoderTrainer(_WeightsOnlyCheckpoints, CrossEncoderTrainer):
    """The trainer of cross-encoders."""


_OUTCOME = "outcome.json"


def run_stages(
    model: _Model,
    stages: Sequence[TrainingStage[_Model]],
    *,
    checkpoints: Path,
    seed: int,
    device: str,
    show_progress: bool,
) -> Outcome:
    """Train a model by each stage in turn, and leave it with the weights of the best evaluated step of all.

    A single stage keeps its checkpoints in the folder itself, several keep them in ``stage-1`` and so on. Where the
    folder holds checkpoints of this run, it goes on from the newest; a stage that has ended is not begun again.

    Args:
        model: The base.
        stages: At least one; all have one evaluator.
        checkpoints: Where checkpoints are kept.
        seed: As of `train_stage`, for each stage.
        device: ``cpu``, ``cuda`` or ``mps``.
        show_progress: Draw a bar.

    Returns:
        Steps counted through all stages, and the measurements of all.

    Raises:
        DiskFull: A checkpoint could not be written; the earlier ones are whole.
    """
    folders = stage_folders(checkpoints, len(stages))
    outcomes: list[Outcome] = []
    for stage, folder in zip(stages, folders, strict=True):
        outcome = _read_outcome(folder) if len(stages) > 1 else None
        if outcome is None:
            outcome = train_stage(
                model,
                stage,
                checkpoints=folder,
                resume_from=newest_checkpoint(folder),
                seed=seed,
                device=device,
                show_progress=show_progress,
            )
            if len(stages) > 1 and is_main_process():
                _write_outcome(folder, outcome)
        else:
            load_weights(model, folder / f"checkpoint-{outcome.best_step}")
        outcomes.append(outcome)
    return _restore_best(model, outcomes, folders)


def stage_folders(checkpoints: Path, count: int) -> list[Path]:
    """Return the folder of each stage's checkpoints."""
    return [checkpoints] if count == 1 else [checkpoints / f"stage-{number}" for number in range(1, count + 1)]


def _restore_best(model: _Model, outcomes: Sequence[Outcome], folders: Sequence[Path]) -> Outcome:
    """Join the outcomes, and where an earlier stage was better than the last, take its weights."""
    history: list[tuple[int, float]] = []
    best: tuple[float, int, int] | None = None  # value, index of the stage, step of the run
    steps = 0
    for index, outcome in enumerate(outcomes):
        value = dict(outcome.history)[outcome.best_step]
        if best is None or value > best[0]:
            best = value, index, steps + outcome.best_step
        history += [(steps + step, measured) for step, measured in outcome.history]
        steps += outcome.steps
    assert best is not None  # there is at least one stage
    if best[1] != len(outcomes) - 1:
        load_weights(model, folders[best[1]] / f"checkpoint-{outcomes[best[1]].best_step}")
    return Outcome(steps, best[2], tuple(history))


def _read_outcome(folder: Path) -> Outcome | None:
    """Read the outcome of a stage that ended before the run was interrupted; None where it did not."""
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
