"""The library of the extra ``ray``."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from llama_index_ko_rerank.errors import MissingExtra


def import_ray() -> Any:
    """Import Ray with its data library, which sends no usage figures from here.

    Raises:
        MissingExtra: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is raised; Ray logs much more than that
    try:
        import_module("ray.data")
        return import_module("ray")
    except ImportError as problem:
        raise MissingExtra(
            "indexing on several machines needs ray: pip install 'llama-index-ko-rerank[ray]'"
        ) from problem
