"""Models fitted to the user's own data, and the weights of a hybrid fitted to its legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
    from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
    from llama_index_ko_rerank.train.forecast import TrainingForecast
    from llama_index_ko_rerank.train.options import adjust_recipe
    from llama_index_ko_rerank.train.recipe import Recipe
    from llama_index_ko_rerank.train.recipes import RECIPES
    from llama_index_ko_rerank.train.request import TrainingRequest
    from llama_index_ko_rerank.train.result import TrainingResult
    from llama_index_ko_rerank.train.training import forecast_training, train_model

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainingForecast",
    "TrainingRequest",
    "TrainingResult",
    "adjust_recipe",
    "forecast_training",
    "train_bi_encoder",
    "train_cross_encoder",
    "train_model",
]

_MODULES = {
    "RECIPES": "recipes",
    "Recipe": "recipe",
    "TrainingForecast": "forecast",
    "TrainingRequest": "request",
    "TrainingResult": "result",
    "adjust_recipe": "options",
    "forecast_training": "training",
    "train_model": "training",
    "train_bi_encoder": "bi_encoder",
    "train_cross_encoder": "cross_encoder",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
