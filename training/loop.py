"""The loop that trains both shipped models: a budget, a log, checkpoints, and the same weights after a break."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

_log = logging.getLogger(__name__)
_MEASURED_STEPS = 12


@dataclass(frozen=True)
class Budget:
    """How long to train.

    Attributes:
        minutes: Of all cores that torch uses, by the process's own time, so that a pause does not count.
        steps: Instead of the minutes where given: the run that a card describes is made again by its steps.
    """

    minutes: float
    steps: int | None = None


@dataclass(frozen=True)
class Rate:
    """The learning rate: it rises over the first steps, stays, and falls to 0 over the last part of the run.

    So a run may be given more or fewer steps while it goes, as long as its last part has not begun.
    """

    highest: float
    warmup: int
    falling: float = 0.3

    def at(self, step: int, steps: int) -> float:
        """Give the rate of a step."""
        left = (steps - step) / max(1.0, self.falling * steps)
        return self.highest * min(1.0, (step + 1) / self.warmup, left)


class Run:
    """A training run that may be broken off after any step and taken up again.

    The data of a step depend on the seed and the number of the step alone, so that a checkpoint needs only weights,
    the optimiser's state and the number.
    """

    def __init__(self, name: str, groups: list[dict[str, object]], *, folder: Path, rate: Rate, budget: Budget) -> None:
        self.name = name
        self.folder = folder
        self.rate = rate
        self.budget = budget
        self.step = 0
        self.steps = budget.steps
        self.seconds = 0.0
        self.optimizer = torch.optim.AdamW(groups, lr=rate.highest, betas=(0.9, 0.98), eps=1e-8)
        self._gains = [float(group.get("gain", 1.0)) for group in self.optimizer.param_groups]
        self._checkpoint = folder / f"{name}.pt"
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> bool:
        """Take up the last checkpoint, if there is one."""
        if not self._checkpoint.exists():
            return False
        state = torch.load(self._checkpoint, weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with torch.no_grad():
            for parameter, saved in zip(parameters, state["parameters"], strict=True):
                parameter.copy_(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        self.steps = self.budget.steps or state["steps"]
        return True

    def save(self) -> None:
        """Write a checkpoint in place of the last one; a crash leaves the one or the other."""
        parameters = [p.detach() for group in self.optimizer.param_groups for p in group["params"]]
        state = {"optimizer": self.optimizer.state_dict(), "parameters": parameters}
        state |= {"step": self.step, "steps": self.steps, "seconds": self.seconds}
        unfinished = self._checkpoint.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self._checkpoint)

    def go(
        self,
        loss_of: Callable[[int], dict[str, float]],
        *,
        on_checkpoint: Callable[[], dict[str, float]],
        every: int,
        until: int | None = None,
    ) -> None:
        """Train to the end of the budget, or up to a step.

        Args:
            loss_of: Computes the loss of a step, adds its gradients, and returns what is logged.
            on_checkpoint: Called after each checkpoint; what it returns is logged.
            every: Steps between checkpoints.
            until: Break off here.
        """
        began = time.process_time() - self.seconds
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        while self.steps is None or self.step < min(self.steps, until or self.steps):
            rate = self.rate.at(self.step, self.steps or 10**9)
            for group, gain in zip(self.optimizer.param_groups, self._gains, strict=True):
                group["lr"] = rate * gain
            self.optimizer.zero_grad(set_to_none=True)
            figures = loss_of(self.step)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            self.step += 1
            self.seconds = time.process_time() - began
            self._plan()
            if self.step % 10 == 0:
                self._note({"rate": rate, **figures})
            if self.step % every == 0:
                self.save()
                self._note(on_checkpoint())
        self.save()

    def _plan(self) -> None:
        if self.steps is None and self.step == _MEASURED_STEPS:
            seconds = self.budget.minutes * 60 * torch.get_num_threads()
            self.steps = max(_MEASURED_STEPS, int(seconds * self.step / self.seconds))
            _log.info("%s: %d steps in %.1f minutes", self.name, self.steps, self.budget.minutes)

    def _note(self, figures: dict[str, float]) -> None:
        rounded = {name: round(value, 5) for name, value in figures.items()}
        line = {"step": self.step, "of": self.steps, "cpu_s": round(self.seconds), "at": time.strftime("%H:%M:%S")}
        with (self.folder / f"{self.name}.log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | rounded) + "\n")
        _log.info("%s %s", self.name, line | rounded)
