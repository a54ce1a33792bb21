"""One form for every text before it is compared, tokenised or embedded."""

from __future__ import annotations

import re
import unicodedata

from llama_index_ko_rerank.errors import BlankQuery, InvalidText

_SURROGATE = re.compile("[\ud800-\udfff]")
_WIDTH_FORMS = re.compile("[\uff01-\uffee\u3000]+")
# Soft hyphen, zero-width spaces and joiners, direction marks, byte order mark: they change no reading of a text.
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check_text(text: str, what: str = "text") -> None:
    r"""Refuse a text that holds lone surrogates.

    Raises:
        InvalidText: Such a text cannot be encoded, so it could be neither tokenised nor stored.

    >>> check_text("한\ud800글", "question")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    llama_index_ko_rerank.errors.InvalidText: question holds a lone surrogate (U+D800) at offset 1; ...
    """
    found = _SURROGATE.search(text)
    if found:
        raise InvalidText(
            f"{what} holds a lone surrogate (U+{ord(found.group()):04X}) at offset {found.start()}; "
            "decode its source with errors='replace' or remove it"
        )


def normalize(text: str) -> str:
    """Bring a text to NFC with half-width Latin, full-width Hangul, and no invisible or control characters.

    Control characters become spaces, tabs and line feeds stay, and nothing is trimmed.

    Raises:
        InvalidText: The text holds lone surrogates.

    Source: Unicode Standard Annex 15 for NFC; NFKC is used only for the block of width forms (U+FF01 to U+FFEE),
    since on other characters it loses meaning (``m²`` would become ``m2``).

    >>> normalize("ＡＢＣ\u200b　한글")
    'ABC 한글'
    """
    if text.isascii():
        return _CONTROL.sub(" ", text)
    check_text(text)
    text = _INVISIBLE.sub("", text)
    text = _WIDTH_FORMS.sub(lambda run: unicodedata.normalize("NFKC", run.group()), text)
    return _CONTROL.sub(" ", unicodedata.normalize("NFC", text))


def check_query(query: str | None) -> str:
    """Normalise a question, refusing one that asks nothing.

    Returns:
        The question in the form of `normalize`, without white space around it.

    Raises:
        BlankQuery: The question is None, empty, or only white space and invisible characters.
        InvalidText: The question holds lone surrogates.
    """
    if query is None:
        raise BlankQuery("a question is needed, and none was given")
    check_text(query, "question")
    text = normalize(query).strip()
    if not text:
        raise BlankQuery(f"a question is needed, and {query[:20]!r} is blank")
    return text
