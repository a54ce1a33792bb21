"""Models fitted to the user's own data, and the weights of a hybrid fitted to its legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
    from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
    from llama_index_ko_rerank.train.dry_run import TrainingEstimate
    from llama_index_ko_rerank.train.model_card import TrainingResult
    from llama_index_ko_rerank.train.recipes.recipe import Recipe
    from llama_index_ko_rerank.train.recipes.registry import RECIPES, override_recipe
    from llama_index_ko_rerank.train.setup import TrainingRequest
    from llama_index_ko_rerank.train.training import estimate_training, train_model

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainingEstimate",
    "TrainingRequest",
    "TrainingResult",
    "estimate_training",
    "override_recipe",
    "train_bi_encoder",
    "train_cross_encoder",
    "train_model",
]

_MODULES = {
    "RECIPES": "recipes.registry",
    "Recipe": "recipes.recipe",
    "TrainingEstimate": "dry_run",
    "TrainingRequest": "setup",
    "TrainingResult": "model_card",
    "override_recipe": "recipes.registry",
    "estimate_training": "training",
    "train_model": "training",
    "train_bi_encoder": "bi_encoder",
    "train_cross_encoder": "cross_encoder",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
