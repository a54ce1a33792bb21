"""What a training run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A trained model and how it came about.

    Attributes:
        path: The folder of the model.
        recipe: The recipe's name.
        base: What was started from: ``scratch``, a hub name, or a folder.
        training_rows: Rows that one epoch goes through.
        steps: Optimizer steps of the whole run, those before a resume included.
        metric: What the best step was chosen by: ``mrr@10``, ``spearman`` or ``macro-f1``, on validation rows.
        best_step: The step whose weights are in the folder.
        best_value: Its value.
        untrained_value: The value before anything was learnt: of the base, or for ``scratch`` of its random vectors.
        history: Step and value of each measurement. Step 0 is the start of training; for a static embedding from
            ``scratch`` it has the rarity of tokens on top of `untrained_value`.
        seconds: How long it took, loading and measuring included; of the last part, where the run was resumed.
    """

    path: Path
    recipe: str
    base: str
    training_rows: int
    steps: int
    metric: str
    best_step: int
    best_value: float
    untrained_value: float
    history: tuple[tuple[int, float], ...]
    seconds: float

    @property
    def improved(self) -> bool:
        """Whether the best step is better than the start of training, and so worth its place."""
        return self.best_value > self.history[0][1]
