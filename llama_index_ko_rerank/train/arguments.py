"""Settings of a training run, each with its documentation; the command line makes its options of the same fields."""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingArguments:
    """Settings of a training run; a setting left at None takes the recipe's value.

    ``dataclasses.fields(TrainingArguments)`` has the documentation of each field under ``metadata["help"]``.
    """

    base: str = field(
        default=SCRATCH, metadata={"help": "Starting model: a hub name, a catalog name, a folder, or 'scratch'."}
    )
    recipe: str | Recipe | None = field(
        default=None,
        metadata={
            "help": "Recipe by name. Defaults to the book's for the data. bi-encoder: book-mrc, strong, static, "
            "e5-mistral, book-sts, sts; cross-encoder: book-rerank, strong, distil, classify."
        },
    )
    epochs: int | None = field(default=None, metadata={"help": "Passes over the rows. Defaults to the recipe's."})
    batch_size: int | None = field(
        default=None, metadata={"help": "Rows a step, of all processes of torchrun together. Defaults to the recipe's."}
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate. Defaults to the recipe's."}
    )
    warmup_steps: int | None = field(
        default=None, metadata={"help": "Steps until the peak rate, at most half of the run. Defaults to the recipe's."}
    )
    max_steps: int | None = field(
        default=None, metadata={"help": "Upper bound on the steps of the whole run. Defaults to no bound."}
    )
    pooling: PoolingMode | None = field(
        default=None,
        metadata={
            "help": "Pooling of an embedding model: cls, mean, max or lasttoken. Defaults to the base's, else to mean."
        },
    )
    layers: int | None = field(
        default=None,
        metadata={"help": "Transformer layers to keep, the first, the last and evenly between. Defaults to all."},
    )
    train_embeddings: bool | None = field(
        default=None,
        metadata={
            "help": "Train the word embeddings of a transformer. Defaults to no on a processor where they are large."
        },
    )
    seed: int = field(
        default=42,
        metadata={
            "help": "Seed of held-out rows, negatives, row order and new weights; on a CPU it decides the weights."
        },
    )
    resume: bool = field(
        default=False, metadata={"help": "Continue from the last checkpoint in the folder, as an unbroken run would."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace a model or checkpoints in the folder."})
    keep_checkpoints: bool = field(
        default=False, metadata={"help": "Keep the last and the best checkpoint beside the model."}
    )
    show_progress: bool = field(default=True, metadata={"help": "Draw a progress bar."})
    device: str | None = field(
        default=None, metadata={"help": "Device: cpu, cuda or mps. Defaults to an accelerator if there is one."}
    )
