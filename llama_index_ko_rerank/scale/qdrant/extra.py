"""The library of the extra ``qdrant``."""

from __future__ import annotations

from importlib import import_module

from llama_index_ko_rerank.errors import MissingExtra


def check_extra() -> None:
    """Make sure that Qdrant's client is installed.

    Raises:
        MissingExtra: It is not.
    """
    try:
        import_module("qdrant_client")
    except ImportError as problem:
        raise MissingExtra("Qdrant needs its client: pip install 'llama-index-ko-rerank[qdrant]'") from problem
