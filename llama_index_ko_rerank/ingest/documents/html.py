"""HTML files: the text that a reader would see, under its headings."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Outline, decode_text

_CHARSET = re.compile(rb"""<(?:meta\b[^>]*\bcharset|\?xml\b[^>]*\bencoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_UNSEEN = {"script", "style", "template", "noscript", "svg", "iframe", "object", "nav"}
_LINES = {"li", "tr", "dt", "dd", "option", "caption"}
_PARAGRAPHS = (
    "address article aside blockquote body details dialog div dl fieldset figcaption figure footer form header hr html "
    "main menu ol p pre section summary table tbody tfoot thead ul"
)
_BLOCKS = {*_PARAGRAPHS.split(), *_LINES}
_CELLS = {"td", "th"}
_SPACES = re.compile(r"[ \t\n\r\f]+")


def read_html(payload: bytes) -> DocumentText:
    """Read a page without scripts, styles and navigation; cells of a table are parted by ``|``.

    Raises:
        UnreadableDocument: Its encoding is not known, or an element that is left out has no end.
    """
    declared = _CHARSET.search(payload[:4096])
    text = decode_text(payload, declared.group(1).decode("ascii") if declared else None)
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.document()


class _Reader(HTMLParser):
    """Follows the tags; what stands between two borders of blocks is one paragraph or line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = Outline()
        self._parts: list[str] = []
        self._is_line = False
        self._preformatted = 0
        self._unseen: list[str] = []
        self._title: str | None = None

    def document(self) -> DocumentText:
        if self._unseen:
            raise UnreadableDocument(f"is cut off: its element <{self._unseen[0]}> has no end")
        self._end_of_block()
        return self._outline.document(self._title)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # HTMLParser's own signature
        if tag in _UNSEEN:
            self._unseen.append(tag)
        if self._unseen:
            return
        if tag in _BLOCKS or tag in _HEADINGS or tag == "title":
            self._end_of_block()
            self._is_line = tag in _LINES
            self._preformatted += tag == "pre"
        elif tag in _CELLS and "".join(self._parts).strip():
            self._parts.append(" | ")
        elif tag == "br":
            self._parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag in self._unseen:
                del self._unseen[self._unseen.index(tag) :]
        elif tag in _HEADINGS:
            self._outline.heading(_HEADINGS[tag], self._taken())
        elif tag == "title":
            self._title = self._title or self._taken()
        elif tag in _BLOCKS:
            self._end_of_block()
            self._preformatted = max(0, self._preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._parts.append(data if self._preformatted else _SPACES.sub(" ", data))

    def _end_of_block(self) -> None:
        text = self._taken()
        (self._outline.line if self._is_line else self._outline.paragraph)(text)
        self._is_line = False

    def _taken(self) -> str:
        text = "".join(self._parts)
        self._parts = []
        return text
