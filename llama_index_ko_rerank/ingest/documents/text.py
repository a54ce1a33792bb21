"""Text of a document: bytes decoded, and text under headings collected into sections; what all readers share."""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass

from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.text.normalize import normalize

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_KOREAN = {"euc_kr", "cp949"}
_LEAST_HANGUL = 2 / 3
_LEAST_COMMON = 0.9


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document that has one place.

    Attributes:
        text: Its text, not blank, in the form of `text.normalize`; headings are not repeated in it.
        headings: The headings that it stands under, the outermost first.
        page: Its page, from 1; None where the format knows no pages.
    """

    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of a document.

    Attributes:
        title: Its first heading, or the title that the file states; None where it has neither.
        sections: In reading order; at least one.
    """

    title: str | None
    sections: tuple[Section, ...]


class Outline:
    """Takes headings and paragraphs in reading order and gives sections.

    A heading without a text under it stays findable: with a deeper heading after it as a part of that one's path,
    otherwise as a section of its own.
    """

    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._parts: list[str] = []
        self._sections: list[Section] = []
        self._first_heading: str | None = None

    def heading(self, level: int, title: str) -> None:
        """Begin the section of a heading; the smallest level is the highest, and a blank heading is none."""
        title = one_line(title)
        if not title:
            return
        self._first_heading = self._first_heading or title
        self._close(deeper=bool(self._path) and level > self._path[-1][0])
        self._path = [*(entry for entry in self._path if entry[0] < level), (level, title)]

    def paragraph(self, text: str) -> None:
        """Add a paragraph, which a blank line parts from what stands before it."""
        self._add(text, "\n\n")

    def line(self, text: str) -> None:
        """Add a line, such as an item of a list or a row of a table."""
        self._add(text, "\n")

    def document(self, stated_title: str | None = None) -> DocumentText:
        """End the document and give what was collected, of which there may be nothing."""
        self._close(deeper=False)
        return DocumentText(self._first_heading or one_line(stated_title or "") or None, tuple(self._sections))

    def _add(self, text: str, gap: str) -> None:
        cleaned = clean(text)
        if cleaned:
            self._parts += [gap, cleaned] if self._parts else [cleaned]

    def _close(self, *, deeper: bool) -> None:
        headings = tuple(title for _, title in self._path)
        if self._parts:
            self._sections.append(Section("".join(self._parts), headings))
        elif headings and not deeper:
            self._sections.append(Section(headings[-1], headings[:-1]))
        self._parts = []


def clean(text: str) -> str:
    """Bring a text to one form: line feeds only, `normalize`, and no white space around it or before a line feed."""
    lines = normalize(text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()


def one_line(text: str) -> str:
    """Bring a title to one line."""
    return " ".join(normalize(text).split())


def decode_text(payload: bytes, declared: str | None = None) -> str:
    """Decode a file of text without guessing.

    What a byte order mark says holds; then UTF-8; then the encoding that the file declares; then CP949, the superset of
    EUC-KR, where the outcome reads as Korean: at least two thirds of what is not ASCII are Hangul syllables, nine of
    ten of them among the 2,350 of KS X 1001. Chinese, Japanese or binary files that CP949 happens to decode are not.

    Args:
        payload: The file.
        declared: An encoding by its name, as an HTML file states it; unknown names are passed over.

    Raises:
        UnreadableDocument: None of these fits, or the text holds NUL characters.
    """
    text = _marked(payload)
    if text is None:
        text = _first_fitting(payload, declared)
    if text is None:
        raise UnreadableDocument("is neither UTF-8 nor clearly Korean text in CP949; save it as UTF-8")
    if "\0" in text:
        raise UnreadableDocument("holds NUL characters, so that it is no text")
    return text


def _marked(payload: bytes) -> str | None:
    for mark, encoding in _MARKS.items():
        if payload.startswith(mark):
            try:
                return payload.decode(encoding)
            except UnicodeDecodeError as error:
                raise UnreadableDocument(
                    f"has the mark of {encoding} and is not ({error.reason} at byte {error.start})"
                ) from error
    return None


def _first_fitting(payload: bytes, declared: str | None) -> str | None:
    text = _decoded(payload, "utf-8")
    if text is None and declared:
        text = _decoded(payload, declared)
    if text is None:
        text = _decoded(payload, "cp949")
        return text if text is not None and _reads_as_korean(text) else None
    return text


def _decoded(payload: bytes, encoding: str) -> str | None:
    try:
        name = codecs.lookup(encoding).name
        return payload.decode("cp949" if name in _KOREAN else name)
    except (LookupError, UnicodeDecodeError):
        return None


def _reads_as_korean(text: str) -> bool:
    counts = Counter(text)
    foreign = sum(count for character, count in counts.items() if character > "\x7f")
    syllables = {character: count for character, count in counts.items() if "가" <= character <= "힣"}
    hangul = sum(syllables.values())
    common = sum(count for character, count in syllables.items() if _is_common(character))
    return hangul >= _LEAST_HANGUL * foreign and common >= _LEAST_COMMON * hangul


def _is_common(character: str) -> bool:
    try:
        return len(character.encode("euc_kr")) == 2
    except UnicodeEncodeError:
        return False
