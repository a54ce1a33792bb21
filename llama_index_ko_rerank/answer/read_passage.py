"""A passage as its sentences and their words, read once and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from llama_index_ko_rerank.text.sentences import Sentence, split_sentences
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

_REMEMBERED = 512
_LONGEST_REMEMBERED = 4000


@dataclass(frozen=True, slots=True)
class ReadPassage:
    """What was read of a passage; the two tuples have one length.

    Attributes:
        sentences: Its sentences, with their places.
        words: The content morphemes of each, each once.
    """

    sentences: tuple[Sentence, ...]
    words: tuple[frozenset[str], ...]


def read_passage(text: str) -> ReadPassage:
    """Split a passage and take its words, which Kiwi does at 1 ms for about 60 characters.

    The last 512 passages of up to 4,000 characters are remembered: questions about one collection meet the same
    passages again.

    Raises:
        InvalidText: The text holds lone surrogates.
    """
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _read(text)


def forget_passages() -> None:
    """Empty the memory, as a benchmark must."""
    _remembered.cache_clear()


def _read(text: str) -> ReadPassage:
    sentences = tuple(split_sentences(text))
    words = MorphemeTokenizer().tokens(sentence.text for sentence in sentences)
    return ReadPassage(sentences, tuple(map(frozenset, words)))


_remembered = lru_cache(_REMEMBERED)(_read)
