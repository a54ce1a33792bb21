"""Callbacks of the trainer: a progress bar, and early stopping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState
from transformers import TrainingArguments as TrainerArguments


class MetricProgressCallback(ProgressCallback):
    """A bar over the steps that shows the last measured value; the library's own also prints each log entry."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric

    def on_log(
        self,
        args: TrainerArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Show the validation value beside the bar."""
        value = (logs or {}).get(f"eval_{self._metric}")
        if value is not None and self.training_bar is not None:
            self.training_bar.set_postfix({self._metric: f"{value:.3f}"})


def should_stop(values: Sequence[float], patience: int | None) -> bool:
    """Return whether the last `patience` evaluations are all no better than the best before them.

    >>> should_stop([0.5, 0.6, 0.6, 0.55], patience=2), should_stop([0.5, 0.6, 0.55], patience=2)
    (True, False)
    """
    if patience is None or not values:
        return False
    return len(values) - 1 - list(values).index(max(values)) >= patience


class EarlyStopping(TrainerCallback):
    """Early stopping by the trainer's own record of evaluations, so that a resumed run ends where an unbroken one does.

    The library's callback counts for itself, and forgets its count when a run is resumed.
    """

    def __init__(self, metric: str, patience: int) -> None:
        self._metric, self._patience = metric, patience

    def on_evaluate(
        self,
        args: TrainerArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """End the run after an evaluation that leaves no more patience."""
        if should_stop(measured(state, self._metric), self._patience):
            control.should_training_stop = True


def measured(state: TrainerState, metric: str) -> list[float]:
    """List the values of a metric in the order that they were measured."""
    name = f"eval_{metric}"
    return [float(entry[name]) for entry in state.log_history if name in entry]
