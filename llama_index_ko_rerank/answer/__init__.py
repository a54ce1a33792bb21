"""From found passages to an answer: by an LLM with numbered sources, or by extracts without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

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

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
