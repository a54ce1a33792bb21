"""The two lexical views of a Korean text: its content morphemes, and its character bigrams.

Each tokenizer has an identity string that goes into every artefact built with it, so that an index is never searched
with tokens made another way.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Protocol

import numpy as np
from kiwipiepy import KiwiConfig, Token
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.kiwi import UserWord, get_kiwi, kiwi_version, split_long_text
from llama_index_ko_rerank.text.normalize import normalize

CONTENT_TAGS: dict[str, tuple[str, ...]] = {
    "nouns name what a text is about": ("NNG", "NNP", "NR", "NP"),
    "bound nouns count: 개, 명, 년 tell one number from another": ("NNB",),
    "verbs and adjectives say what happens; their endings are other tokens": ("VV", "VA", "VX", "VCN"),
    "roots carry the meaning of 깨끗하다 and its like": ("XR",),
    "prefixes turn a meaning round: 비-, 미-, 무-": ("XPN",),
    "determiners and adverbs separate 모든 from 어떤": ("MM", "MAG", "MAJ"),
    "numbers, Latin and Chinese characters are names and values": ("SN", "SL", "SH"),
    "addresses and serial numbers are looked up whole": ("W_URL", "W_EMAIL", "W_HASHTAG", "W_MENTION", "W_SERIAL"),
}
"""Which Kiwi tags are content, with the reason of each group. Particles, endings, suffixes, the copula and punctuation
are out: they stand in every passage and say nothing of its subject."""

QUESTION_WORDS = frozenset(["무엇", "뭐", "누구", "어디", "언제", "얼마", "어떤", "무슨", "몇", "어느", "어떻게", "왜"])
"""Words that ask and do not describe. They are rare in passages, so BM25 would weigh them heavily; without them Hit@1
on the `tune` half of KorQuAD goes from .9095 to .9113."""

TAG_NAMES = tuple(sorted(tag for tags in CONTENT_TAGS.values() for tag in tags))
"""Every kept tag, in the order by which arrays number them."""

_KEPT = frozenset(TAG_NAMES)
_REMEMBERED_QUESTIONS = 64
_WORD = re.compile(r"[^\W_]+")
# At most 1,000 characters up to white space, or 1,000 of a run that has none: Kiwi's time grows with the square of a
# text of many sentences, and a question of 100,000 characters would take it most of a minute in one piece.
_PIECE = re.compile(r"\S(?:.{0,998}\S)?(?=\s|\Z)|\S{1,1000}", re.DOTALL)


class LexicalTokenizer(Protocol):
    """Turns texts into the tokens that one lexical view counts."""

    name: str

    @property
    def identity(self) -> str:
        """Name, version and options; equal identities make equal tokens."""
        ...

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of each text, in order and with repeats."""
        ...

    def query_tokens(self, query: str) -> list[str]:
        """Return the tokens of a question that are worth looking for."""
        ...


@dataclass(frozen=True, slots=True)
class MorphemeStream:
    """The content morphemes of one text in reading order; the three lists have one length.

    Attributes:
        forms: Dictionary forms in lower case; a form of several words is split at its spaces.
        tags: Kiwi's tag of each, without the mark of irregular conjugation.
        sentences: Number of the sentence that each stands in, from 0.
    """

    forms: list[str]
    tags: list[str]
    sentences: list[int]


@dataclass(frozen=True, slots=True)
class PassageStream:
    """Content morphemes of one indexed passage in reading order.

    Attributes:
        token_ids: int32 of shape (length,), ids of the morpheme vocabulary.
        tags: uint8 of shape (length,), indices of `TAG_NAMES`.
        sentences: uint16 of shape (length,), number of the sentence, from 0.
    """

    token_ids: NDArray[np.int32]
    tags: NDArray[np.uint8]
    sentences: NDArray[np.uint16]


class MorphemeTokenizer:
    """Content morphemes by Kiwi, with particles and endings taken off.

    Args:
        user_words: Words of the user's own with their tags, such as ``("한들소프트", "NNP")``.
        space_tolerance: How many wrong spaces inside a word Kiwi may ignore (``학 생`` as ``학생``). With 1, questions
            with 15 % of their characters split apart are answered first .889 of the time instead of .825, at the
            price of .001 on well-spaced ones (KorQuAD `tune`).

    It may be used from several threads; a bulk call runs on all cores.

    Raises:
        InvalidSetting: `user_words` holds something that is no pair of a word and a tag.
    """

    name = "morphemes"

    def __init__(self, user_words: Sequence[UserWord] = (), space_tolerance: int = 1) -> None:
        self.user_words: tuple[UserWord, ...] = tuple(_checked(pair) for pair in user_words)
        self.space_tolerance = space_tolerance
        self._config = KiwiConfig(space_tolerance=space_tolerance)
        self._remembered = lru_cache(_REMEMBERED_QUESTIONS)(self._analyse_query)

    @property
    def identity(self) -> str:
        """Kiwi's version, the kept tags, and a digest of the user's words."""
        options = f"{sorted(_KEPT)}{self.user_words}{self.space_tolerance}"
        return f"morphemes/1 kiwi={kiwi_version()} options={hashlib.sha256(options.encode()).hexdigest()[:12]}"

    def analyse(self, texts: Iterable[str]) -> Iterator[MorphemeStream]:
        """Return the content morphemes of each text with tags and sentence numbers, in one pass of Kiwi.

        A text of more than 8,000 characters is read in pieces (see `split_long_text`), whose ends end a sentence.

        Raises:
            InvalidText: A text holds lone surrogates.
        """
        counts: deque[int] = deque()
        pieces = _counted_pieces(texts, counts)
        analysed = get_kiwi(self.user_words).tokenize(pieces, override_config=self._config)
        return _joined((_stream(morphemes) for morphemes in analysed), counts)

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the content morphemes of each text.

        >>> list(MorphemeTokenizer().tokens(["학생들이 도서관에서 공부한다"]))
        [['학생', '도서관', '공부']]
        """
        return (stream.forms for stream in self.analyse(texts))

    def query_tokens(self, query: str) -> list[str]:
        """Return the content morphemes of a question without its question words, unless it has no others.

        >>> MorphemeTokenizer().query_tokens("도서관은 어디에 있어?")
        ['도서관', '있']
        """
        forms = self.analyse_query(query).forms
        return [form for form in forms if form not in QUESTION_WORDS] or list(forms)

    def analyse_query(self, query: str) -> MorphemeStream:
        """Return the content morphemes of a question, its question words among them.

        The last questions are remembered, so that what retrieves and what reranks share one pass of Kiwi; the stream
        must not be changed.
        """
        return self._remembered(normalize(query))

    def forget_questions(self) -> None:
        """Empty the memory of `analyse_query`, as a benchmark must."""
        self._remembered.cache_clear()

    def _analyse_query(self, query: str) -> MorphemeStream:
        pieces = _PIECE.findall(query)
        if len(pieces) == 1:
            # One text is analysed in this thread, and so does not wait for Kiwi's own on a busy machine.
            return _stream(get_kiwi(self.user_words).tokenize(pieces[0], override_config=self._config))
        return _one_stream(self.analyse(pieces))


def _stream(morphemes: Iterable[Token]) -> MorphemeStream:
    """Keep the content of an analysed text."""
    stream = MorphemeStream([], [], [])
    for morpheme in morphemes:
        tag = morpheme.tag.split("-")[0]
        if tag in _KEPT:
            for form in morpheme.form.lower().split():
                stream.forms.append(form)
                stream.tags.append(tag)
                stream.sentences.append(morpheme.sent_position)
    return stream


def _counted_pieces(texts: Iterable[str], counts: deque[int]) -> Iterator[str]:
    """Yield the pieces of each text, noting before the first of them how many they are."""
    for text in texts:
        pieces = split_long_text(normalize(text))
        counts.append(len(pieces))
        yield from pieces


def _joined(streams: Iterator[MorphemeStream], counts: deque[int]) -> Iterator[MorphemeStream]:
    """Yield one stream a text from the streams of its pieces."""
    for first in streams:
        count = counts.popleft()
        yield first if count == 1 else _one_stream([first, *islice(streams, count - 1)])


def _one_stream(pieces: Iterable[MorphemeStream]) -> MorphemeStream:
    """Put the streams of a text's pieces one after the other."""
    whole = MorphemeStream([], [], [])
    for piece in pieces:
        before = whole.sentences[-1] + 1 if whole.sentences else 0
        whole.sentences.extend(before + number for number in piece.sentences)
        whole.forms.extend(piece.forms)
        whole.tags.extend(piece.tags)
    return whole


def _checked(pair: Sequence[str]) -> UserWord:
    if isinstance(pair, str) or len(pair) != 2 or not normalize(str(pair[0])).strip():
        raise InvalidSetting(
            f"a user word is a pair of a word and its Kiwi tag, such as ('한들소프트', 'NNP'), not {pair!r}"
        )
    return normalize(str(pair[0])), str(pair[1])


class BigramTokenizer:
    """Pairs of neighbouring characters, across spaces and without punctuation.

    Spaces are taken out first, so that spacing errors change nothing: ``한국 어`` and ``한국어`` have the same bigrams.
    On the `tune` half of KorQuAD, bigrams across spaces find the passage first for .911 of 3,316 questions, bigrams
    inside words for .901 (BM25 with k1 = 0.9, b = 0.4).
    """

    name = "bigrams"
    identity = "bigrams/1 across-spaces lower-case"

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the character bigrams of each text; a text of one character is its own token.

        >>> list(BigramTokenizer().tokens(["한국 어!", "A"]))
        [['한국', '국어'], ['a']]
        """
        for text in texts:
            joined = "".join(_WORD.findall(normalize(text).lower()))
            yield [joined] if len(joined) == 1 else [joined[i : i + 2] for i in range(len(joined) - 1)]

    def query_tokens(self, query: str) -> list[str]:
        """Return the bigrams of a question, its question words among them: they are too short to take out."""
        return next(self.tokens([query]))
