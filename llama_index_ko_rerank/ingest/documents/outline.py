"""Text under headings, collected into sections while a document is read."""

from __future__ import annotations

from llama_index_ko_rerank.ingest.documents.document import DocumentText, Section
from llama_index_ko_rerank.text.normalize import normalize


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
