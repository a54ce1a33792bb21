"""From found passages to an answer: by an LLM with numbered sources, or by extracts without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.answer.chat_engine import KoreanChatEngine, StreamingChatAnswer, build_chat_engine
    from llama_index_ko_rerank.answer.extractive import (
        Extract,
        ExtractiveSynthesizer,
        SentenceScorer,
        extract_sentences,
    )
    from llama_index_ko_rerank.answer.generative import NumberedSourcesSynthesizer
    from llama_index_ko_rerank.answer.llm import connect_llm
    from llama_index_ko_rerank.answer.query_engine import KoreanQueryEngine, build_query_engine
    from llama_index_ko_rerank.answer.synthesis import source_title

__all__ = [
    "Extract",
    "ExtractiveSynthesizer",
    "KoreanChatEngine",
    "KoreanQueryEngine",
    "NumberedSourcesSynthesizer",
    "SentenceScorer",
    "StreamingChatAnswer",
    "build_chat_engine",
    "build_query_engine",
    "connect_llm",
    "extract_sentences",
    "source_title",
]

_MODULES = {
    "Extract": "extractive",
    "ExtractiveSynthesizer": "extractive",
    "KoreanChatEngine": "chat_engine",
    "KoreanQueryEngine": "query_engine",
    "NumberedSourcesSynthesizer": "generative",
    "SentenceScorer": "extractive",
    "StreamingChatAnswer": "chat_engine",
    "build_chat_engine": "chat_engine",
    "build_query_engine": "query_engine",
    "connect_llm": "llm",
    "extract_sentences": "extractive",
    "source_title": "synthesis",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
