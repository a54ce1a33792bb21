"""A whole search fitted to documents that have no questions: made ones, an embedding, weights, a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.adapt.adaptation import AdaptResult, adapt_to_documents
    from llama_index_ko_rerank.adapt.inputs import AdaptSettings

__all__ = ["AdaptResult", "AdaptSettings", "adapt_to_documents"]

_MODULES = {"AdaptResult": "adaptation", "AdaptSettings": "inputs", "adapt_to_documents": "adaptation"}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
