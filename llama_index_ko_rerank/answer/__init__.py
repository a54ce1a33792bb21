"""From found passages to an answer: by an LLM with numbered sources, or by extracts without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_index_ko_rerank.answer.engines import KoreanQueryEngine, build_query_engine
    from llama_index_ko_rerank.answer.extractive import ExtractiveSynthesizer
    from llama_index_ko_rerank.answer.extracts import Extract, SentenceScorer, extract_sentences
    from llama_index_ko_rerank.answer.generative import NumberedSourcesSynthesizer
    from llama_index_ko_rerank.answer.sources import source_title

__all__ = [
    "Extract",
    "ExtractiveSynthesizer",
    "KoreanQueryEngine",
    "NumberedSourcesSynthesizer",
    "SentenceScorer",
    "build_query_engine",
    "extract_sentences",
    "source_title",
]

_MODULES = {
    "Extract": "extracts",
    "ExtractiveSynthesizer": "extractive",
    "KoreanQueryEngine": "engines",
    "NumberedSourcesSynthesizer": "generative",
    "SentenceScorer": "extracts",
    "build_query_engine": "engines",
    "extract_sentences": "extracts",
    "source_title": "sources",
}


def __getattr__(name: str) -> object:
    """Import a public name on its first use, so that importing this package loads no Kiwi."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
