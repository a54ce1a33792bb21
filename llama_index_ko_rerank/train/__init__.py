"""Models fitted to the user's own data, and the weights of a hybrid fitted to its retrievers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.train.arguments import TrainingArguments
    from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
    from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
    from llama_index_ko_rerank.train.dry_run import TrainingEstimate, estimate_training
    from llama_index_ko_rerank.train.model_card import TrainingResult
    from llama_index_ko_rerank.train.recipes import RECIPES, override_recipe
    from llama_index_ko_rerank.train.recipes.recipe import Recipe


__all__ = [
    "RECIPES",
    "Recipe",
    "TrainingArguments",
    "TrainingEstimate",
    "TrainingResult",
    "estimate_training",
    "override_recipe",
    "train_bi_encoder",
    "train_cross_encoder",
]

_MODULES = {
    "RECIPES": "recipes",
    "Recipe": "recipes.recipe",
    "TrainingEstimate": "dry_run",
    "TrainingArguments": "arguments",
    "TrainingResult": "model_card",
    "override_recipe": "recipes",
    "estimate_training": "dry_run",
    "train_bi_encoder": "bi_encoder",
    "train_cross_encoder": "cross_encoder",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
