"""Stopping a run that has stopped gaining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def is_exhausted(values: Sequence[float], patience: int | None) -> bool:
    """Say whether the last `patience` measurements are all no better than the best before them.

    >>> is_exhausted([0.5, 0.6, 0.6, 0.55], patience=2), is_exhausted([0.5, 0.6, 0.55], patience=2)
    (True, False)
    """
    if patience is None or not values:
        return False
    return len(values) - 1 - list(values).index(max(values)) >= patience


class StopsEarly(TrainerCallback):
    """Ends the run by the trainer's own record of measurements, so that a resumed run ends where an unbroken one does.

    The library's callback counts for itself, and forgets its count when a run is resumed.
    """

    def __init__(self, metric: str, patience: int) -> None:
        self._metric, self._patience = metric, patience

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Ask for the end after a measurement that leaves no more patience."""
        if is_exhausted(measured(state, self._metric), self._patience):
            control.should_training_stop = True


def measured(state: TrainerState, metric: str) -> list[float]:
    """List the values of a metric in the order that they were measured."""
    name = f"eval_{metric}"
    return [float(entry[name]) for entry in state.log_history if name in entry]
