"""Libraries that only some kinds of documents need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from llama_index_ko_rerank.errors import MissingExtra


def library(module: str, needed_for: str) -> Any:
    """Import a library of the extra ``documents``.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as problem:
        raise MissingExtra(
            f"{needed_for} files need {module}: pip install 'llama-index-ko-rerank[documents]'"
        ) from problem
