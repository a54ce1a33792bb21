"""Markdown files: the text that a reader would see, under its headings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llama_index_ko_rerank.ingest.documents.text import DocumentText, Outline, decode_text

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_STATED_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)


def read_markdown(payload: bytes) -> DocumentText:
    """Read CommonMark with tables; marks of emphasis, addresses of links and HTML tags are left out.

    Headings of all levels begin sections, unless they stand in a list or a quotation. Of the front matter only a title
    is read.

    Raises:
        UnreadableDocument: Its encoding is not known.
    """
    from markdown_it import MarkdownIt

    source = decode_text(payload).replace("\r\n", "\n").replace("\r", "\n")
    stated = None
    front = _FRONT_MATTER.match(source)
    if front:
        title = _STATED_TITLE.search(front.group(1))
        stated = title.group(1).strip("\"'") if title else None
        source = source[front.end() :]
    reading = _Reading()
    reading.take(MarkdownIt("commonmark").enable("table").parse(source))
    return reading.outline.document(stated)


class _Reading:
    """What was read so far, and what the next text belongs to."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._heading_level: int | None = None
        self._mark = ""
        self._row: list[str] | None = None

    def take(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            act = getattr(self, f"_{token.type}", None)
            if act is not None:
                act(token)

    def _heading_open(self, token: Token) -> None:
        self._heading_level = int(token.tag[1:]) if token.level == 0 else None

    def _list_item_open(self, token: Token) -> None:
        self._mark = f"{token.info}{token.markup} " if token.info else "- "

    def _tr_open(self, _: Token) -> None:
        self._row = []

    def _tr_close(self, _: Token) -> None:
        self.outline.line(" | ".join(self._row or ()))
        self._row = None

    def _inline(self, token: Token) -> None:
        text = _visible(token)
        if self._heading_level is not None:
            self.outline.heading(self._heading_level, text)
            self._heading_level = None
        elif self._row is not None:
            self._row.append(text)
        elif self._mark:
            self.outline.line(self._mark + text)
            self._mark = ""
        else:
            self.outline.paragraph(text)

    def _fence(self, token: Token) -> None:
        self.outline.paragraph(token.content)

    _code_block = _fence

    def _html_block(self, token: Token) -> None:
        self.outline.paragraph(_TAG.sub(" ", token.content))


def _visible(inline: Token) -> str:
    """Return the text of an inline token: words, code and the descriptions of pictures."""
    parts = []
    for token in inline.children or ():
        if token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif token.type in ("text", "code_inline", "image"):
            parts.append(token.content)
    return "".join(parts)
