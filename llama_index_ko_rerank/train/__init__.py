"""Models fitted to the user's own data, and the weights of a hybrid fitted to its legs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    """Import a public name on its first use, so that importing this package loads no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
