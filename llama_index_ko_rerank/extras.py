"""Guard for optional libraries: one error that names the extra to install."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from llama_index_ko_rerank.errors import MissingExtra


def require(extra: str, module: str, *, needed_for: str) -> Any:
    """Import a library of an extra.

    Args:
        extra: The extra of this package that installs it, such as ``serve``.
        module: The module to import, such as ``uvicorn``.
        needed_for: What needs it, as the start of the error's sentence.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{needed_for} needs {module}: pip install 'llama-index-ko-rerank[{extra}]'") from error


def require_serve() -> None:
    """Make sure that every library of the HTTP service is installed.

    Raises:
        MissingExtra: One is not.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require("serve", module, needed_for="the service")


def require_ray() -> Any:
    """Import Ray with its data library, which sends no usage figures from here.

    Raises:
        MissingExtra: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is raised; Ray logs much more than that
    require("ray", "ray.data", needed_for="indexing on several machines")
    return require("ray", "ray", needed_for="indexing on several machines")
