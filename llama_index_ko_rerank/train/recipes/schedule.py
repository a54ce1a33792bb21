"""Schedule of a run: the recipe's schedule with the user's settings, fitted to the number of rows."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from llama_index_ko_rerank.embed.loading import check_device
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.recipes.recipe import Schedule

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSchedule(Schedule):
    """Schedule of one run, with the batch size and the warm-up that fit the data.

    Attributes:
        rows: Rows an epoch.
        steps: Optimizer steps of the whole run.
        evaluate_every: Steps between two evaluations, each with a checkpoint.
        max_steps: Upper bound on the steps; None for none.
    """

    rows: int
    steps: int
    evaluate_every: int
    max_steps: int | None


def choose_device(device: str | None) -> str:
    """Return the device to train on; defaults to an accelerator if there is one.

    Raises:
        InvalidSetting: This machine does not have the device, or it names one of several accelerators by number.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device not in ("cpu", "cuda", "mps"):
        raise InvalidSetting(
            f"device={device!r} is not supported; training takes 'cpu', 'cuda' or 'mps', and "
            "CUDA_VISIBLE_DEVICES chooses among several GPUs"
        )
    check_device(device)
    return device


def override_schedule(
    schedule: Schedule,
    *,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    warmup_steps: int | None,
) -> Schedule:
    """Override a recipe's schedule with the settings that are not None.

    Raises:
        InvalidSetting: A setting is out of range.
    """
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("warmup_steps", warmup_steps, 0)):
        if value is not None and value < least:
            raise InvalidSetting(f"{name} must be {least} or more, not {value}")
    if learning_rate is not None and not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InvalidSetting(f"learning_rate must be a number above 0, not {learning_rate}")
    return Schedule(
        epochs=schedule.epochs if epochs is None else epochs,
        batch_size=schedule.batch_size if batch_size is None else batch_size,
        learning_rate=schedule.learning_rate if learning_rate is None else learning_rate,
        warmup_steps=schedule.warmup_steps if warmup_steps is None else warmup_steps,
        weight_decay=schedule.weight_decay,
        evaluations=schedule.evaluations,
    )


def resolve_schedule(
    schedule: Schedule, *, rows: int, max_steps: int | None, contexts: Sequence[str] | None = None
) -> ResolvedSchedule:
    """Fit a schedule to the data, and log every change.

    Args:
        schedule: The recipe's, with the user's settings.
        rows: Rows an epoch.
        max_steps: The most steps of the whole run; None for no bound.
        contexts: The context of each row, where no context may stand twice in a batch.

    Raises:
        InvalidSetting: `max_steps` is below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise InvalidSetting(f"max_steps must be 1 or more, not {max_steps}")
    if contexts is not None:
        schedule = _distinct_batches(schedule, contexts)
    steps_an_epoch = math.ceil(rows / schedule.batch_size)
    steps = min(schedule.epochs * steps_an_epoch, max_steps or math.inf)
    warmup = min(schedule.warmup_steps, int(steps) // 2)
    if warmup < schedule.warmup_steps:
        _log.warning(
            "the run has %d steps, so warm-up takes %d of them and not %d", int(steps), warmup, schedule.warmup_steps
        )
    return ResolvedSchedule(
        **(asdict(schedule) | {"warmup_steps": warmup}),
        rows=rows,
        steps=int(steps),
        evaluate_every=max(1, math.ceil(steps / schedule.evaluations)),
        max_steps=max_steps,
    )


def _distinct_batches(schedule: Schedule, contexts: Sequence[str]) -> Schedule:
    """Bound the batch by the number of contexts, and log the rows that find no batch."""
    counts = Counter(contexts)
    batch_size = min(schedule.batch_size, len(counts))
    if batch_size < schedule.batch_size:
        _log.warning(
            "no context may stand twice in a batch and there are %d, so a batch has %d rows and not %d",
            *(len(counts), batch_size, schedule.batch_size),
        )
    steps_an_epoch = math.ceil(len(contexts) / batch_size)
    left_out = sum(max(0, count - steps_an_epoch) for count in counts.values())
    if left_out:
        _log.warning(
            "an epoch has %d batches, and a context up to %d questions: %d of %d rows find no batch in an epoch",
            *(steps_an_epoch, max(counts.values()), left_out, len(contexts)),
        )
    return replace(schedule, batch_size=batch_size)
