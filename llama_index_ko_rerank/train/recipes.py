"""The book's recipes as data: which loss over which rows, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llama_index_ko_rerank.errors import InvalidSetting, nearest

ModelTask = Literal["bi-encoder", "cross-encoder"]
DataKind = Literal["retrieval", "sentence-pairs"]
Loss = Literal["CosineSimilarityLoss", "MultipleNegativesRankingLoss", "BinaryCrossEntropyLoss"]

SCRATCH = "scratch"
"""The base that starts from nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a model learns.

    Attributes:
        epochs: How often each row is seen.
        batch_size: Rows a step.
        learning_rate: The highest rate, after warm-up; it falls to 0 in a straight line.
        warmup_steps: Steps in which the rate rises from 0; never more than half of the run.
        weight_decay: AdamW's.
        evaluations: How often the model is measured and saved during the run.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A way to train one kind of model on one kind of data.

    Attributes:
        name: What the user calls it.
        task: The kind of model.
        data: The kinds of data that it can learn from.
        loss: The sentence-transformers loss.
        distinct_in_batch: Whether no text may stand twice in a batch.
        schedule: For a base that is trained already.
        scratch: For the base ``scratch``.
    """

    name: str
    task: ModelTask
    data: tuple[DataKind, ...]
    loss: Loss
    distinct_in_batch: bool
    schedule: Schedule
    scratch: Schedule


BOOK_STS = Recipe(
    name="book-sts",
    task="bi-encoder",
    data=("sentence-pairs",),
    loss="CosineSimilarityLoss",
    distinct_in_batch=False,
    schedule=Schedule(epochs=4, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=8),
    scratch=Schedule(epochs=4, batch_size=64, learning_rate=0.02, warmup_steps=40, weight_decay=0.0, evaluations=8),
)
"""The cosine of two sentences is drawn to their label in 0-1. From nothing, on KorSTS train and dev: 64 rows a step at
0.02 lift Spearman from .72 to .77 in the first four of eight epochs, where 0.005 needs all eight for .76."""

BOOK_MRC = Recipe(
    name="book-mrc",
    task="bi-encoder",
    data=("retrieval",),
    loss="MultipleNegativesRankingLoss",
    distinct_in_batch=True,
    schedule=Schedule(epochs=1, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=10, batch_size=256, learning_rate=0.005, warmup_steps=10, weight_decay=0.0, evaluations=10),
)
"""A question is drawn to its context and away from the other contexts of its batch, none of which stands there twice.
From nothing, on held-out articles of KorQuAD `tune`: rates of 0.001 to 0.005 are equally good; 0.01 over twenty epochs,
and 0.05, wear down what the rarity of tokens gave (see `scratch`)."""

BOOK_RERANK = Recipe(
    name="book-rerank",
    task="cross-encoder",
    data=("retrieval", "sentence-pairs"),
    loss="BinaryCrossEntropyLoss",
    distinct_in_batch=False,
    schedule=Schedule(epochs=1, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=4, batch_size=16, learning_rate=6e-4, warmup_steps=30, weight_decay=0.01, evaluations=4),
)
"""Each question stands once with its context (1) and once with an irrelevant one (0); labelled sentence pairs are taken
as they are, with labels in 0-1. The logit learns by binary cross-entropy. From nothing, on 250 questions of KorQuAD
`tune` (see `scratch` for how): MRR .68 before the first step, .75 after one epoch, .78 after four."""

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (BOOK_STS, BOOK_MRC, BOOK_RERANK)}

_HOLDS: dict[DataKind, str] = {
    "retrieval": "questions with contexts",
    "sentence-pairs": "labelled sentence pairs",
}


def find_recipe(name: str | None, *, task: ModelTask, data: DataKind) -> Recipe:
    """Find a recipe by its name, or the first one that fits the model and the data where the name is None.

    Raises:
        InvalidSetting: There is no such recipe, or it trains another kind of model or needs other data.

    >>> find_recipe(None, task="bi-encoder", data="retrieval").name
    'book-mrc'
    """
    fitting = [recipe for recipe in RECIPES.values() if recipe.task == task and data in recipe.data]
    if name is None:
        return fitting[0]
    recipe = RECIPES.get(name)
    if recipe is None:
        raise InvalidSetting(f"there is no recipe {name!r}; {nearest(name, RECIPES)}")
    if recipe.task != task:
        raise InvalidSetting(f"the recipe {name!r} trains a {recipe.task}, not a {task}; take {fitting[0].name!r}")
    if data not in recipe.data:
        needed = " or ".join(_HOLDS[kind] for kind in recipe.data)
        raise InvalidSetting(
            f"the recipe {name!r} learns from {needed}, and the data set holds {_HOLDS[data]}; take {fitting[0].name!r}"
        )
    return recipe
