"""What a user asks of a training run, whichever kind of model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.train.recipe import SCRATCH, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """A training run as it is asked for; None is what the recipe says.

    Attributes:
        output_dir: The folder of the model.
        base: ``scratch``, a folder, a catalog name, or a hub name.
        recipe: A name, or a recipe with options in it (see `adjust_recipe`); by the data where None.
        epochs: How often each row is seen.
        batch_size: Rows a step.
        learning_rate: The highest one.
        warmup_steps: Steps until it is reached; at most half of the run.
        max_steps: The most steps of the whole run.
        pooling: How an embedding model pools; what the base says, or else the mean, where None.
        seed: Of everything that is drawn.
        resume: Go on from the last checkpoint in `output_dir`.
        overwrite: Replace a model in `output_dir`, or begin again where checkpoints are.
        keep_checkpoints: Keep the last and the best checkpoint.
        show_progress: Draw a progress bar.
        device: ``cpu``, ``cuda`` or ``mps``; an accelerator where there is one, where None.
    """

    output_dir: str | Path
    base: str = SCRATCH
    recipe: str | Recipe | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup_steps: int | None = None
    max_steps: int | None = None
    pooling: PoolingMode | None = None
    seed: int = 42
    resume: bool = False
    overwrite: bool = False
    keep_checkpoints: bool = False
    show_progress: bool = True
    device: str | None = None
