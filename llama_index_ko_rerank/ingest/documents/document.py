"""What a reader gives: the text of a document in sections, each with its place."""

from __future__ import annotations

from dataclasses import dataclass


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
