"""One progress bar for a training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import ProgressCallback, TrainerControl, TrainerState, TrainingArguments


class TrainingBar(ProgressCallback):
    """A bar over the steps that shows the last measured value; the library's own also prints each log entry."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002  the library's signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Show the validation value beside the bar."""
        value = (logs or {}).get(f"eval_{self._metric}")
        if value is not None and self.training_bar is not None:
            self.training_bar.set_postfix({self._metric: f"{value:.3f}"})
