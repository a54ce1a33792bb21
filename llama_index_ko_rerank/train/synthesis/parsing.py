"""Passages read once by Kiwi: their words with particles told from nouns, sentence by sentence, and their terms."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.text.kiwi import get_kiwi
from llama_index_ko_rerank.text.normalize import check_text
from llama_index_ko_rerank.text.tokenizers import CONTENT_TAGS

if TYPE_CHECKING:
    from kiwipiepy import Token


_HEADING_LINE = re.compile(r"\A\s*(?:#{1,6}\s+(?P<marked>[^\n]+)|(?P<plain>[^\n]{2,60}))\n")
_ARTICLE_HEADING = re.compile(r"\A\s*제\d+조(?:의\d+)?\s*\((?P<heading>[^()\n]{2,50})\)\s*")
_SENTENCE_MARK = re.compile(r"[.?!:;。]\s*\Z|[다요]\s*\Z")
_EXTENSION = re.compile(r"\.(?:md|txt|html?|rst|pdf|docx?)$", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*(?:[(\[（][^()\[\]（）]*[)\]）]|\{[^{}]*\})")
_NUMBERING = re.compile(
    r"^(?:제?\d+(?:의\d+)?(?:조|장|절|단계|항)[.:)]?\s+|\d+(?:\.\d+)*[.)]?\s+|예제?\s?\d*\s?[:.]\s*"
    r"|단계\s?\d+\s?[:.]?\s*|(?:연습|방법|자습서|빠른 시작|샘플|둘러보기)\s?:\s*|[#*\-•]+\s*)"
)


def heading_of(text: str) -> tuple[str, int]:
    r"""Find the heading that a text begins with, and where what it heads begins.

    >>> heading_of("휴가\n\n연차는 열흘이다.")
    ('휴가', 3)
    >>> heading_of("제3조(목적) 이 규정은 여비를 정한다.")
    ('목적', 8)
    """
    article = _ARTICLE_HEADING.match(text)
    if article:
        return article["heading"].strip(), article.end()
    line = _HEADING_LINE.match(text)
    if not line or not text[line.end() :].strip():
        return "", 0
    heading = (line["marked"] or line["plain"]).strip()
    if line["plain"] and _SENTENCE_MARK.search(heading):
        return "", 0
    return heading, line.end()


def tidy(text: str) -> str:
    r"""Take numbering, brackets and a file's extension off a title or a heading.

    >>> tidy("2.1 휴가 규정(개정).md"), tidy("매리너_6호")
    ('휴가 규정', '매리너 6호')
    """
    text = _EXTENSION.sub("", html.unescape(text).split(" | ")[0].strip()).replace("_", " ")
    return _NUMBERING.sub("", _BRACKETS.sub("", text)).strip(" :.-·").strip()


READ_CHARACTERS = 3000
"""How much of a passage is read; a passage is a chunk, and Kiwi's time grows faster than a text."""

_CONTENT = frozenset(tag for tags in CONTENT_TAGS.values() for tag in tags)
_NOMINAL = ("N", "SN", "SL", "SH", "XPN", "XSN", "XR", "SW", "SO", "SS", "SB", "W_")
_GLUED = ("J", "E", "XSV", "XSA", "XSN", "VCP")

_LAW = r"(?:(?:이 |같은 |동)?(?:법|영|령|규칙|규정)|「[^」\n]{1,60}」)"
_WITHIN = r"(?: ?(?:단서|본문|전단|후단))?"
_ARTICLE = rf"(?:{_LAW}\s?)?제\d+(?:조|항|호)(?:의\d+)?(?:\s?제\d+(?:조|항|호|목)(?:의\d+)?)*(?: ?[가-하]목)?{_WITHIN}"
_CITATION = (
    rf"{_ARTICLE}(?:(?:, ?|ㆍ| ?및 | ?또는 |부터 | ?내지 ){_ARTICLE})*(?:까지)?(?:의 규정)?"
    r"(?:에 ?(?:따른|따라|의한|의하여|의해|의거하여|의거한) ?"
    rf"|(?: ?(?:각|같은) (?:호|목|항))?(?: ?외의 부분)?{_WITHIN}에서 (?=[\"“]))"
)
# What is taken out before reading, or stands for the end of a line; the order matters.
_MARKS = re.compile(
    rf"(?P<gone>[\u00ad\u200b-\u200f\u2060\ufeff]|{_CITATION}|\([^()\n]{{0,200}}\)|（[^（）\n]{{0,200}}）"
    r"|(?<=[가-힣])\s(?=(?:하여|합니다|했습니다|됩니다|되었습니다)\b)|(?<=\b[대위통관]) (?=[한해]\b)|[*`_]{1,3}(?=\S))"
    r"|(?P<line>[①-⑳]|(?:(?<=\s)|^)(?:\d{1,2}(?:의\d)?|[가나다라마바사아자차카타파하])[.)]\s+(?=[^\d\s])|(?:(?<=\s)|^)[-•>|*]\s+)"
    r"|(?P<wrap>(?<=[^.?!:。\n][^.?!:。\n])\n(?=[^\s#\-*\d>]))"
)
_WRAPPED_LINE = 60


class Morpheme(NamedTuple):
    """One morpheme: its dictionary form, Kiwi's tag, and its place in the passage."""

    form: str
    tag: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it is written between spaces.

    Attributes:
        text: The word without punctuation after it.
        noun: Its leading noun; empty where it does not begin with one.
        particle: What follows the noun where only particles do; empty otherwise.
        is_nominal: It is a noun with or without particles, and nothing else.
        morphemes: Its morphemes, empty for a word that is put in.
        comma: A comma follows.
        noun_end: Where its noun ends in the passage; -1 without one.
        tags: The tags of its morphemes, without the marks of irregular conjugation.
    """

    text: str
    noun: str = ""
    particle: str = ""
    is_nominal: bool = False
    morphemes: tuple[Morpheme, ...] = ()
    comma: bool = False
    noun_end: int = -1
    tags: tuple[str, ...] = ()

    @property
    def terms(self) -> list[str]:
        """Its content morphemes, as the lexical index counts them."""
        return content_terms(self.morphemes)


Sentence = tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class ParsedPassage:
    """A passage and what was read in it.

    Attributes:
        passage: The passage.
        heading: The words of the heading that its text begins with, tidied; empty where there is none.
        sentences: The words of each sentence under the heading.
        terms: Every content morpheme, the heading's too, with repeats.
    """

    passage: Passage
    heading: Sentence
    sentences: tuple[Sentence, ...]
    terms: list[str] = field(repr=False)


def content_terms(morphemes: Sequence[Morpheme]) -> list[str]:
    """List the content morphemes in lower case."""
    return [m.form.lower() for m in morphemes if m.tag.split("-")[0] in _CONTENT]


def parse_passages(passages: Sequence[Passage]) -> Iterator[ParsedPassage]:
    """Read passages in bulk, on all cores, each once; the first 3,000 characters of each count.

    Headings in front, references to articles of a law, text in brackets and marks of lists are taken out of the
    sentences; offsets are those of the passage's text.

    Raises:
        InvalidText: A text holds lone surrogates.
    """
    for passage in passages:
        check_text(passage.text, f"passage {passage.id!r}")
    prepared = (_OffsetMap.of(passage.text[:READ_CHARACTERS]) for passage in passages)
    queue: list[_OffsetMap] = []

    def texts() -> Iterator[str]:
        for item in prepared:
            queue.append(item)
            yield item.text

    results = get_kiwi().tokenize(texts())
    for passage, tokens in zip(passages, results, strict=True):
        yield _read(passage, queue.pop(0), tokens)


@dataclass(frozen=True, slots=True)
class _OffsetMap:
    """A text as Kiwi reads it, with the way back to the passage's offsets."""

    text: str
    heading: str
    anchors: list[int]
    shifts: list[int]

    @classmethod
    def of(cls, source: str) -> _OffsetMap:
        found, body = heading_of(source)
        heading = tidy(found)
        pieces, anchors, shifts, place, length = [f"{heading}\n\n"], [0], [0], body, len(heading) + 2
        for match in _MARKS.finditer(source, body):
            kept = source[place : match.start()]
            instead = {"gone": "", "line": "\n\n", "wrap": _wrap(source, match.start())}[match.lastgroup or ""]
            anchors.append(length)
            shifts.append(place - length)
            pieces += [kept, instead]
            length += len(kept) + len(instead)
            place = match.end()
        anchors.append(length)
        shifts.append(place - length)
        pieces.append(source[place:])
        return cls("".join(pieces), heading, anchors, shifts)

    def original(self, place: int) -> int:
        return place + self.shifts[bisect_right(self.anchors, place) - 1]


def _wrap(source: str, place: int) -> str:
    """Tell a line that was wrapped from one that ends."""
    return " " if place - source.rfind("\n", 0, place) > _WRAPPED_LINE else "\n\n"


def _read(passage: Passage, prepared: _OffsetMap, tokens: Sequence[Token]) -> ParsedPassage:
    text, body = prepared.text, len(prepared.heading) + 2
    heading: list[list[Token]] = []
    sentences: list[list[list[Token]]] = []
    terms: list[str] = []
    last_end, last_sentence = 0, -1
    for token in tokens:
        tag = token.tag.split("-")[0]
        if tag in _CONTENT:
            terms.append(token.form.lower())
        start = token.start
        gap = text[last_end:start]
        glued = not gap or tag.startswith(_GLUED)
        # Kiwi counts the words in quotation marks as a sentence of their own; only white space parts two sentences.
        if start >= body and (not sentences or "\n" in gap or (token.sent_position != last_sentence and not glued)):
            sentences.append([])
        words = sentences[-1] if sentences else heading
        if not words or not glued:
            words.append([])
        words[-1].append(token)
        last_end, last_sentence = token.end, token.sent_position
    built = tuple(tuple(_word(word, prepared) for word in words) for words in sentences if len(words) > 1)
    return ParsedPassage(passage, tuple(_word(word, prepared) for word in heading), built, terms)


def _word(tokens: Sequence[Token], prepared: _OffsetMap) -> Word:
    original = prepared.original
    morphemes = tuple(Morpheme(t.form, t.tag, original(t.start), original(max(t.start, t.end - 1)) + 1) for t in tokens)
    tags = tuple(m.tag.partition("-")[0] for m in morphemes)
    kept = len(tokens)
    while kept > 1 and tags[kept - 1] in ("SP", "SF", "SE"):
        kept -= 1
    size = next((i for i, tag in enumerate(tags[:kept]) if not tag.startswith(_NOMINAL)), kept)
    text = _surface(tokens[:kept], prepared.text)
    noun = text if size == kept else _surface(tokens[:size], prepared.text) if size else ""
    is_nominal = bool(noun) and all(tag[0] == "J" for tag in tags[size:kept])
    noun_end = morphemes[size - 1].end if size else -1
    particle = text[len(noun) :] if is_nominal else ""
    return Word(text, noun, particle, is_nominal, morphemes, "SP" in tags, noun_end, tags)


def _surface(tokens: Sequence[Token], text: str) -> str:
    """Write morphemes as they stand, without spaces between them; a name of several words keeps its own."""
    if len(tokens) == 1 and tokens[0].tag.startswith("N"):
        return text[tokens[0].start : tokens[0].end]
    pieces, place = [], -1
    for token in tokens:
        piece = text[max(place, token.start) : token.end]
        pieces.append(piece if token.tag.startswith("N") else "".join(piece.split()))
        place = max(place, token.end)
    return "".join(pieces)
