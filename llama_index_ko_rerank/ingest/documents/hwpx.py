"""Hangul files of the open kind (OWPML, KS X 6101): a zip file of XML, read without another library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser
from zipfile import ZipFile

from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Outline
from llama_index_ko_rerank.ingest.documents.zip_limits import open_package

_SECTION = re.compile(r"Contents/section(\d+)\.xml")
_PACKAGE = "Contents/content.hpf"
_PARTS = "META-INF/manifest.xml"
_SIGNS = {"lineBreak": "\n", "tab": "\t", "nbSpace": " ", "fwSpace": " ", "hyphen": "-"}
_REPEATED = {"header", "footer", "secPr"}


def read_hwpx(payload: bytes) -> DocumentText:
    """Read the paragraphs, tables, text boxes and footnotes of a HWPX file; running headers and footers are left out.

    Raises:
        UnreadableDocument: It is damaged or encrypted, unpacks to too much, or declares a document type, as an XML
            bomb does and a document does not.
    """
    with open_package(payload) as package:
        names = package.namelist()
        sections = sorted((int(found.group(1)), name) for name in names if (found := _SECTION.fullmatch(name)))
        if not sections:
            raise UnreadableDocument("is no HWPX document: it has no Contents/section0.xml")
        if _PARTS in names and b"encryption-data" in package.read(_PARTS):
            raise UnreadableDocument("is protected by a password")
        outline = Outline()
        for _, name in sections:
            for paragraph in _parse(package, name):
                if _local_name(paragraph) == "p":
                    _read_paragraph(paragraph, outline)
        return outline.document(_stated_title(package) if _PACKAGE in names else None)


def _parse(package: ZipFile, name: str) -> Element:
    parser = XMLParser(target=_NoDocumentType())
    try:
        parser.feed(package.read(name))
        root: Element = parser.close()
    except ParseError as error:
        raise UnreadableDocument(f"is damaged: {name} is no XML ({error})") from error
    return root


class _NoDocumentType(TreeBuilder):
    """Builds a tree of XML that has no document type, and so no entities of its own."""

    def doctype(self, name: str, *_: str | None) -> None:
        raise UnreadableDocument(f"declares the document type {name!r}, which no HWPX document does; it is not read")


def _stated_title(package: ZipFile) -> str | None:
    titles = (element.text for element in _parse(package, _PACKAGE).iter() if _local_name(element) == "title")
    return next((title for title in titles if title), None)


def _read_paragraph(paragraph: Element, outline: Outline) -> None:
    """Add the text of a paragraph, and after it the tables and boxes that hang on it."""
    outline.paragraph("".join(_own_text(paragraph)))
    for run in paragraph:
        for item in run:
            if _local_name(item) == "tbl":
                for row in _below(item, "tr"):
                    outline.line(" | ".join(" ".join(_cell(cell).split()) for cell in _below(row, "tc")))
            elif _local_name(item) != "t":
                for inner in _inner_paragraphs(item):
                    _read_paragraph(inner, outline)


def _own_text(paragraph: Element) -> Iterator[str]:
    for run in paragraph:
        for item in run:
            if _local_name(item) == "t":
                yield item.text or ""
                for sign in item:
                    yield _SIGNS.get(_local_name(sign), "") + (sign.tail or "")


def _cell(cell: Element) -> str:
    outline = Outline()
    for paragraph in _inner_paragraphs(cell):
        _read_paragraph(paragraph, outline)
    return "\n".join(section.text for section in outline.document().sections)


def _inner_paragraphs(element: Element) -> Iterator[Element]:
    """Yield the paragraphs below an element that are in no other paragraph."""
    if _local_name(element) in _REPEATED:
        return
    for child in element:
        if _local_name(child) == "p":
            yield child
        else:
            yield from _inner_paragraphs(child)


def _below(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _local_name(child) == name)


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
