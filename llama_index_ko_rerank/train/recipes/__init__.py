"""The recipes by their names, for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.train.recipes.bi_encoder import BI_ENCODER_RECIPES
from llama_index_ko_rerank.train.recipes.cross_encoder import CROSS_ENCODER_RECIPES
from llama_index_ko_rerank.train.recipes.recipe import DataKind, Loss, ModelTask, Recipe

RECIPES: Mapping[ModelTask, Mapping[str, Recipe]] = {
    "bi-encoder": {recipe.name: recipe for recipe in BI_ENCODER_RECIPES},
    "cross-encoder": {recipe.name: recipe for recipe in CROSS_ENCODER_RECIPES},
}
"""Every recipe, by the kind of model and by name; of those that fit some data the first is the default."""

_HOLDS: dict[DataKind, str] = {
    "retrieval": "questions with contexts",
    "sentence-pairs": "labelled sentence pairs",
}


def find_recipe(recipe: str | Recipe | None, *, task: ModelTask, data: DataKind) -> Recipe:
    """Find a recipe by its name, or the first one that fits the model and the data where the name is None.

    Args:
        recipe: A name, or a recipe as `override_recipe` gives it, which is checked and handed back.
        task: The kind of model.
        data: What the data set holds.

    Raises:
        InvalidSetting: There is no such recipe, or it trains another kind of model or needs other data.

    >>> find_recipe(None, task="bi-encoder", data="retrieval").name
    'book-mrc'
    """
    fitting = [known for known in RECIPES[task].values() if data in known.data]
    if recipe is None:
        return fitting[0]
    found = recipe if isinstance(recipe, Recipe) else _by_name(recipe, task)
    if found.task != task:
        raise InvalidSetting(f"the recipe {found.name!r} trains a {found.task}, not a {task}; take {fitting[0].name!r}")
    if data not in found.data:
        needed = " or ".join(_HOLDS[kind] for kind in found.data)
        raise InvalidSetting(
            f"the recipe {found.name!r} learns from {needed}, and the data set holds {_HOLDS[data]}; "
            f"take {fitting[0].name!r}"
        )
    return found


def _by_name(name: str, task: ModelTask) -> Recipe:
    """Look among the recipes of this kind of model first, since two kinds may share a name."""
    for known in (RECIPES[task], *RECIPES.values()):
        if name in known:
            return known[name]
    raise InvalidSetting(f"there is no recipe {name!r}; {nearest(name, RECIPES[task])}")


_LOSSES: dict[str, Loss] = {
    "cosent": "CoSENTLoss",
    "cosine": "CosineSimilarityLoss",
    "lambda": "LambdaLoss",
    "listnet": "ListNetLoss",
}


def override_recipe(
    recipe: Recipe,
    *,
    loss: str | None = None,
    negatives: int | None = None,
    matryoshka_dims: Sequence[int] | None = None,
    space_drop_rate: float | None = None,
    cross_encoder_filter: str | None = None,
    teacher: str | None = None,
    embed_model: str | None = None,
    instruction: str | None = None,
    lora_rank: int | None = None,
    merge_adapter: bool | None = None,
    class_names: Sequence[str] | None = None,
) -> Recipe:
    """Override settings of a recipe; None leaves a setting as it is.

    Args:
        recipe: One of `RECIPES`.
        loss: ``cosent`` or ``cosine`` for ``sts``; ``lambda`` or ``listnet`` for the second stage of a cross-encoder's
            ``strong``.
        negatives: Hard negatives a question, at least 1.
        matryoshka_dims: Lengths that the vectors may be cut to afterwards, such as ``(256, 128)``; the whole length is
            always trained too.
        space_drop_rate: Share of the training questions that lose spaces, 0-1.
        cross_encoder_filter: A cross-encoder that drops negatives which answer the question: a folder, a catalog name
            or a hub name.
        teacher: The cross-encoder that ``distil`` learns from.
        embed_model: An embedding model whose neighbours are mined beside those of BM25.
        instruction: What stands before each question of ``e5-mistral``.
        lora_rank: Width of the adapters.
        merge_adapter: Add the adapters into the backbone when the model is written.
        class_names: One name a class for ``classify``, in the order of the labels 0, 1 and so on.

    Raises:
        InvalidSetting: The recipe has no such option, or a value is out of range.
    """
    given: dict[str, Any] = {
        "loss": loss,
        "negatives": negatives,
        "matryoshka_dims": None if matryoshka_dims is None else tuple(matryoshka_dims),
        "space_drop_rate": space_drop_rate,
        "cross_encoder_filter": cross_encoder_filter,
        "teacher": teacher,
        "embed_model": embed_model,
        "instruction": instruction,
        "lora_rank": lora_rank,
        "merge_adapter": merge_adapter,
        "class_names": None if class_names is None else tuple(class_names),
    }
    for option, value in given.items():
        if value is not None:
            recipe = _with(recipe, option, value)
    return recipe


def _with(recipe: Recipe, option: str, value: Any) -> Recipe:
    if option not in recipe.options:
        takers = [known.name for known in RECIPES[recipe.task].values() if option in known.options]
        others = f"; it belongs to {' and '.join(map(repr, takers))}" if takers else ""
        raise InvalidSetting(f"the recipe {recipe.name!r} of a {recipe.task} takes no {option}{others}")
    if option == "loss":
        return _with_loss(recipe, value)
    if option == "negatives" and recipe.mining is not None:
        depth = max(recipe.mining.depth, value)
        return replace(recipe, mining=replace(recipe.mining, negatives=value, depth=depth))
    if option in ("lora_rank", "merge_adapter") and recipe.lora is not None:
        changes = {"rank": value, "alpha": 2 * value} if option == "lora_rank" else {"merged": value}
        return replace(recipe, lora=replace(recipe.lora, **changes))
    _check(option, value)
    return replace(recipe, **{option: value})


def _with_loss(recipe: Recipe, name: str) -> Recipe:
    known = [short for short, loss in _LOSSES.items() if loss in recipe.choices]
    if name not in known:
        raise InvalidSetting(f"the recipe {recipe.name!r} has no loss {name!r}; {nearest(name, known)}")
    if recipe.then is not None:
        return replace(recipe, then=_LOSSES[name])
    return replace(recipe, loss=_LOSSES[name])


def _check(option: str, value: Any) -> None:
    if option == "space_drop_rate" and not 0 <= value <= 1:
        raise InvalidSetting(f"space_drop_rate is a share of the questions, 0-1, not {value}")
    if option == "matryoshka_dims" and (not value or min(value) < 1):
        raise InvalidSetting(f"matryoshka_dims are lengths of 1 or more, such as (256, 128), not {value}")
    if option == "class_names" and (len(value) < 2 or len(set(value)) < len(value) or not all(value)):
        raise InvalidSetting(f"class_names must be two or more different names, not {value}")
