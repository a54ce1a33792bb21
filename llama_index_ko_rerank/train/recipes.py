"""The recipes by their names, for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.train.bi_encoder_recipes import BI_ENCODER_RECIPES
from llama_index_ko_rerank.train.cross_encoder_recipes import CROSS_ENCODER_RECIPES
from llama_index_ko_rerank.train.recipe import DataKind, ModelTask, Recipe

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
        recipe: A name, or a recipe as `adjust_recipe` gives it, which is checked and handed back.
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
