"""A whole search fitted to documents that nobody has asked about: made questions, an embedding, weights, a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.adapt.adaptation import adapt_to_documents
    from llama_index_ko_rerank.adapt.result import AdaptResult
    from llama_index_ko_rerank.adapt.settings import AdaptSettings

__all__ = ["AdaptResult", "AdaptSettings", "adapt_to_documents"]

_MODULES = {"AdaptResult": "result", "AdaptSettings": "settings", "adapt_to_documents": "adaptation"}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
