"""Word files, under their headings."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.extras import require
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Outline
from llama_index_ko_rerank.ingest.documents.zip_limits import open_package

_TITLE_STYLE = "Title"
_BODY_LEVEL = 9
_MOST_STYLES = 20
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def read_docx(payload: bytes) -> DocumentText:
    """Read the body of a Word file: paragraphs, tables, content controls and text boxes.

    A paragraph whose style has an outline level is a heading, and so is one of the style ``Title``. Headers, footers,
    footnotes, comments and the numbers that Word makes itself are not read.

    Raises:
        UnreadableDocument: It is damaged, or unpacks to too much.
        MissingExtra: python-docx is not installed.
    """
    docx = require("documents", "docx", needed_for="DOCX")
    open_package(payload).close()
    try:
        document = docx.Document(BytesIO(payload))
        outline = Outline()
        _read_blocks(document.element.body, _heading_levels(document), outline)
        return outline.document(document.core_properties.title)
    except (docx.exceptions.PythonDocxError, docx.opc.exceptions.OpcError) as error:
        raise UnreadableDocument(f"is damaged: {error}") from error


def _heading_levels(document: Any) -> dict[str, int]:
    """Map the ids of the styles that are headings to their levels: 0 for the title, from 1 for the others."""
    levels = {}
    for style in document.styles:
        level = 0 if style.name == _TITLE_STYLE else _level(style)
        if level is not None:
            levels[style.style_id] = level
    return levels


def _level(style: Any) -> int | None:
    """Return the level of a style, or of the nearest that it is based on and that has one."""
    for _ in range(_MOST_STYLES):
        found = _stated_level(style.element)
        style = getattr(style, "base_style", None)
        if found or style is None:
            return found
    return None


def _stated_level(element: Any) -> int | None:
    """Return the level from 1 that a style or a paragraph states; None where it states none or that of the body."""
    found = element.xpath("./w:pPr/w:outlineLvl/@w:val")
    return int(found[0]) + 1 if found and int(found[0]) < _BODY_LEVEL else None


def _read_blocks(parent: Any, levels: dict[str, int], outline: Outline) -> None:
    for element in parent:
        kind = _local_name(element)
        if kind == "p":
            level = _paragraph_level(element, levels)
            if level is None:
                outline.paragraph(_text(element))
            else:
                outline.heading(level, _text(element))
        elif kind == "tbl":
            for row in element.iterchildren("{*}tr"):
                outline.line(" | ".join(" ".join(_text(cell).split()) for cell in row.iterchildren("{*}tc")))
        elif kind == "sdt":
            for content in element.iterchildren("{*}sdtContent"):
                _read_blocks(content, levels, outline)


def _paragraph_level(paragraph: Any, levels: dict[str, int]) -> int | None:
    style = paragraph.xpath("./w:pPr/w:pStyle/@w:val")
    return _stated_level(paragraph) or (levels.get(style[0]) if style else None)


def _text(element: Any) -> str:
    return "".join(_text_parts(element))


def _text_parts(element: Any) -> Iterator[str]:
    for child in element:
        kind = _local_name(child)
        if kind == "t":
            yield child.text or ""
        elif kind in _SIGNS:
            yield _SIGNS[kind]
        elif kind != "Fallback":  # the same text box once more, for older programs
            yield from _text_parts(child)
            if kind in ("p", "tr"):
                yield "\n"
            elif kind == "tc":
                yield " "


def _local_name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
