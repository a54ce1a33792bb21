"""The tokenizer and the texts of the reranker's tests."""

from tests.rerank.conftest import one_thread, texts, tokenizer, word_pieces

__all__ = ["one_thread", "texts", "tokenizer", "word_pieces"]
