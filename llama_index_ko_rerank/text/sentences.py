"""Sentences of a Korean text, with their exact offsets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_index_ko_rerank.text.kiwi import get_kiwi, split_long_text
from llama_index_ko_rerank.text.normalize import check_text

# A heading and the text under it are two paragraphs; Kiwi alone would run them together.
# Possessive, line by line: otherwise the regular expression remembers every character, in 110 bytes each.
_PARAGRAPH = re.compile(r"\S.*+(?:\n(?!\s*\n).*+)*+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a text.

    Attributes:
        text: The sentence without white space around it.
        start: Offset of its first character in the text that was split.
        end: Offset after its last character, so that ``whole[start:end] == text``.
    """

    text: str
    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """Split a text into sentences by Kiwi, which knows where Korean sentences end without a full stop.

    A blank line always ends a sentence; a single line feed ends one only where Kiwi says so, since texts are wrapped.
    Paragraphs of more than 8,000 characters are read in pieces (see `split_long_text`), whose ends end a sentence too.

    Returns:
        The sentences in order, none of them empty; an empty list for a blank text. What lies between two
        sentences is white space only.

    Raises:
        InvalidText: The text holds lone surrogates.
    """
    check_text(text)
    starts = {0}
    for paragraph in _PARAGRAPH.finditer(text):
        start = paragraph.start()
        for piece in split_long_text(paragraph.group()):
            found = get_kiwi().split_into_sents(piece, return_sub_sents=False)
            starts.update([start, *(start + sentence.start for sentence in found)])
            start += len(piece)
    bounds = sorted(starts)
    sentences = []
    for start, end in zip(bounds, [*bounds[1:], len(text)], strict=True):
        stripped = text[start:end].strip()
        if stripped:
            first = text.index(stripped, start)
            sentences.append(Sentence(stripped, first, first + len(stripped)))
    return sentences
