"""PDF files, one section a page."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.extras import require
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Section, clean, one_line


def read_pdf(payload: bytes) -> DocumentText:
    """Read the text layer of a PDF file; pages without text are passed over.

    Raises:
        UnreadableDocument: It is damaged, or asks for a password.
        MissingExtra: pypdf is not installed.
    """
    pypdf = require("documents", "pypdf", needed_for="PDF")
    try:
        reader = pypdf.PdfReader(BytesIO(payload))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocument("is protected by a password")
        sections = []
        for number, page in enumerate(reader.pages, start=1):
            text = clean(_whole(page.extract_text()))
            if text:
                sections.append(Section(text, page=number))
        return DocumentText(_title(reader), tuple(sections))
    except pypdf.errors.PyPdfError as error:
        raise UnreadableDocument(f"is damaged: {error}") from error


def _title(reader: Any) -> str | None:
    title = reader.metadata.title if reader.metadata else None
    return one_line(_whole(title)) or None if isinstance(title, str) else None


def _whole(text: str) -> str:
    """Put the halves of surrogate pairs together, which some fonts' tables hold, and replace a half without another."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
