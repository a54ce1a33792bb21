"""Bytes to text: UTF-8, UTF-16 with its mark, and the Korean code page that older files are in."""

from __future__ import annotations

import codecs
from collections import Counter

from llama_index_ko_rerank.errors import UnreadableDocument

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_KOREAN = {"euc_kr", "cp949"}
_LEAST_HANGUL = 2 / 3
_LEAST_COMMON = 0.9


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
