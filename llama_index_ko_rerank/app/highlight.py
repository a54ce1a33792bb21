"""Which stretches of a passage are shown marked: the words that matched, and the sentence that answers best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llama_index_ko_rerank.answer.extractive import overlap_scores
from llama_index_ko_rerank.text.kiwi import get_kiwi, split_long_text
from llama_index_ko_rerank.text.sentences import Sentence, split_sentences
from llama_index_ko_rerank.text.tokenizers import TAG_NAMES

Span = tuple[int, int]
EXCERPT_LENGTH = 300
_BEFORE_BEST = 100
_CONTENT = frozenset(TAG_NAMES)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text that is shown one way.

    Attributes:
        text: As it stands in the passage.
        matched: Whether it is a word of the question.
        best: Whether it belongs to the sentence that answers best.
    """

    text: str
    matched: bool = False
    best: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked in a passage, as offsets into its text.

    Attributes:
        words: The words that matched, in reading order and apart from each other.
        best: The sentence that shares most with the question; None where none shares a word.
    """

    words: tuple[Span, ...]
    best: Span | None


def find_marks(texts: Sequence[str], question_words: Collection[str]) -> list[Marks]:
    """Find in each passage the words of a question and the sentence that has most of them.

    Sentences are scored by `overlap_scores` over all passages, as they are for an answer that is copied from them.

    Args:
        texts: The passages, the best first.
        question_words: Dictionary forms of the question's content morphemes, as `MorphemeTokenizer` returns them.

    Raises:
        InvalidText: A text holds lone surrogates.
    """
    wanted = frozenset(question_words)
    sentences = [split_sentences(text) for text in texts]
    words = [[word for word in _morphemes(text) if word[2] in wanted] for text in texts]
    held = [_by_sentence(*pair) for pair in zip(sentences, words, strict=True)]
    scores = overlap_scores(sorted(wanted), held)
    return [
        Marks(tuple(_apart((start, end) for start, end, _ in words[place])), _best(sentences[place], scores[place]))
        if words[place]
        else Marks((), None)
        for place in range(len(texts))
    ]


def segments(text: str, marks: Marks, stretch: Span | None = None) -> list[Segment]:
    """Cut a text, or a stretch of it, where what is marked begins and ends; the segments together are the stretch.

    >>> [(s.text, s.matched, s.best) for s in segments("가나 다라", Marks(((3, 4),), (3, 5)))]
    [('가나 ', False, False), ('다', True, True), ('라', False, True)]
    """
    first, last = stretch or (0, len(text))
    spans = [*marks.words, *([marks.best] if marks.best else [])]
    bounds = sorted({first, last, *(min(max(bound, first), last) for span in spans for bound in span)})
    starts = [start for start, _ in marks.words]
    return [
        Segment(text[start:end], _within(start, marks.words, starts), bool(marks.best and _covers(marks.best, start)))
        for start, end in pairwise(bounds)
    ]


def excerpt_span(text: str, best: Span | None, length: int = EXCERPT_LENGTH) -> Span:
    """Return the stretch of a long text that is shown first: around the best sentence, else the beginning.

    >>> excerpt_span("짧은 글", None)
    (0, 4)
    """
    if len(text) <= length:
        return 0, len(text)
    start = max(0, min(best[0] - _BEFORE_BEST, len(text) - length)) if best else 0
    if start:  # not in the middle of a word
        start = min((place for place in (text.find(" ", start), text.find("\n", start)) if place >= 0), default=start)
    return start, min(start + length, len(text))


def _morphemes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield offsets and dictionary form of each content morpheme; a form of several words once for each."""
    offset = 0
    for piece in split_long_text(text):
        for token in get_kiwi().tokenize(piece):
            if token.tag.split("-")[0] in _CONTENT and token.len > 0:
                for form in token.form.lower().split():
                    yield offset + token.start, offset + token.end, form
        offset += len(piece)


def _apart(spans: Iterable[Span]) -> Iterator[Span]:
    end = -1
    for span in sorted(spans):
        if span[0] >= end:
            yield span
            end = span[1]


def _by_sentence(sentences: Sequence[Sentence], words: Sequence[tuple[int, int, str]]) -> list[list[str]]:
    starts = [sentence.start for sentence in sentences]
    held: list[list[str]] = [[] for _ in sentences]
    for start, _, form in words:
        held[max(bisect_right(starts, start) - 1, 0)].append(form)
    return held


def _best(sentences: Sequence[Sentence], scores: Sequence[float]) -> Span:
    best = sentences[scores.index(max(scores))]
    return best.start, best.end


def _within(place: int, spans: Sequence[Span], starts: Sequence[int]) -> bool:
    before = bisect_right(starts, place) - 1
    return before >= 0 and _covers(spans[before], place)


def _covers(span: Span, place: int) -> bool:
    return span[0] <= place < span[1]
