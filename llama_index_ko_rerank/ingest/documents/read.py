"""One file to its text, by the kind that its name says it is of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

from llama_index_ko_rerank.data.records import in_one_line
from llama_index_ko_rerank.errors import UnreadableDocument
from llama_index_ko_rerank.extras import require
from llama_index_ko_rerank.ingest.documents.docx import read_docx
from llama_index_ko_rerank.ingest.documents.html import read_html
from llama_index_ko_rerank.ingest.documents.hwpx import read_hwpx
from llama_index_ko_rerank.ingest.documents.markdown import read_markdown
from llama_index_ko_rerank.ingest.documents.pdf import read_pdf
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Outline, decode_text


def read_plain(payload: bytes) -> DocumentText:
    """Read a text file as one section.

    Raises:
        UnreadableDocument: Its encoding is not known.
    """
    outline = Outline()
    outline.paragraph(decode_text(payload))
    return outline.document()


# What parsers of other people raise on a damaged file. Their own error classes are caught beside the parsers.
_PARSER_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of documents.

    Attributes:
        name: Such as ``pdf``.
        suffixes: The ends of the names of its files, in lower case.
        read: Turns the bytes of a file into text.
        library: The distribution that reads it and the module to import; None where none is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[bytes], DocumentText]
    library: tuple[str, str] | None = None

    def check_installed(self) -> None:
        """Raise `MissingExtra` where the library that reads this kind is not installed."""
        if self.library:
            require("documents", self.library[1], needed_for=self.name.upper())

    @property
    def identity(self) -> str:
        """Name and version of the reader and of its library; equal identities read equal texts."""
        return f"{self.name}/1" + (f" {self.library[0]}={version(self.library[0])}" if self.library else "")


KINDS = (
    Kind("text", (".txt",), read_plain),
    Kind("markdown", (".md", ".markdown"), read_markdown, ("markdown-it-py", "markdown_it")),
    Kind("html", (".html", ".htm", ".xhtml"), read_html),
    Kind("pdf", (".pdf",), read_pdf, ("pypdf", "pypdf")),
    Kind("docx", (".docx",), read_docx, ("python-docx", "docx")),
    Kind("hwpx", (".hwpx",), read_hwpx),
)
_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}


def kind_of(path: Path) -> Kind | None:
    """Find the kind of a file by its suffix, in upper or lower case; None where it is of none."""
    return _BY_SUFFIX.get(path.suffix.lower())


def read_payload(path: Path, *, max_bytes: int) -> bytes:
    """Read a file that is not too large, even where it has grown since it was found.

    Raises:
        UnreadableDocument: It cannot be read, or has more than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            payload = file.read(max_bytes + 1)
    except OSError as error:
        raise UnreadableDocument(f"cannot be opened ({error.strerror or error})") from error
    if len(payload) > max_bytes:
        raise UnreadableDocument(too_large(len(payload), max_bytes))
    return payload


def too_large(size: int, max_bytes: int) -> str:
    """Say that a file is too large, in bytes."""
    return f"has {size / 1e6:,.1f} MB, and at most {max_bytes / 1e6:,.0f} MB are read; raise --max-mb"


def read_document(kind: Kind, payload: bytes) -> DocumentText:
    """Read the text of a file.

    Raises:
        UnreadableDocument: It is damaged, protected or blank; the message says why, without the file's name.
        MissingExtra: The library that reads its kind is not installed.
    """
    kind.check_installed()
    try:
        text = kind.read(payload)
    except UnreadableDocument:
        raise
    except _PARSER_FAULTS as error:
        raise UnreadableDocument(f"is damaged, or no {kind.name} file ({in_one_line(error)})") from error
    if not text.sections:
        advice = "; a scan needs its text recognised first" if kind.name == "pdf" else ""
        raise UnreadableDocument(f"holds no text{advice}")
    return text
