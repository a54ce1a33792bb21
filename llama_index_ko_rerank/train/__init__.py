"""Models fitted to the user's own data, and the weights of a hybrid fitted to its legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.train.bi_encoder import train_bi_encoder
    from llama_index_ko_rerank.train.cross_encoder import train_cross_encoder
    from llama_index_ko_rerank.train.recipes import RECIPES
    from llama_index_ko_rerank.train.result import TrainingResult

__all__ = ["RECIPES", "TrainingResult", "train_bi_encoder", "train_cross_encoder"]

_MODULES = {
    "RECIPES": "recipes",
    "TrainingResult": "result",
    "train_bi_encoder": "bi_encoder",
    "train_cross_encoder": "cross_encoder",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
