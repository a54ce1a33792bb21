"""The libraries of the extra ``serve``."""

from __future__ import annotations

from importlib import import_module

from llama_index_ko_rerank.errors import MissingExtra

_LIBRARIES = ("fastapi", "uvicorn", "prometheus_client")


def check_extra() -> None:
    """Make sure that all of them are installed.

    Raises:
        MissingExtra: One is not.
    """
    for library in _LIBRARIES:
        try:
            import_module(library)
        except ImportError as problem:
            raise MissingExtra(f"the service needs {library}: pip install 'llama-index-ko-rerank[serve]'") from problem
