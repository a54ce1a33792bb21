"""One progress bar for a training run, and none for loading and saving inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import ProgressCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging as transformers_logging


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Keep transformers from drawing a progress bar for each file that it reads or writes."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not annotated
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # not annotated


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
