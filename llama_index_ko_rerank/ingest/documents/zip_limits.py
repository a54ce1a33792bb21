"""Zip files that are documents, opened without unpacking more than a document holds."""

from __future__ import annotations

from io import BytesIO
from zipfile import BadZipFile, ZipFile

from llama_index_ko_rerank.errors import UnreadableDocument

MOST_PARTS = 10_000
MOST_UNPACKED = 200_000_000
"""Bytes of all parts together, pictures included."""
MOST_XML = 50_000_000
"""Bytes of one part of XML, which takes some ten times as much in memory."""

_ENCRYPTED = 0x1


def open_package(payload: bytes) -> ZipFile:
    """Open a zip file whose parts are few and small enough to be read.

    The sizes are those that the file states; a part that unpacks to more is never read past its stated size.

    Raises:
        UnreadableDocument: It is no zip file, is protected by a password, or unpacks to too much.
    """
    try:
        package = ZipFile(BytesIO(payload))
    except (BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UnreadableDocument(f"is damaged: it is no whole zip file ({error})") from error
    parts = package.infolist()
    unpacked = sum(part.file_size for part in parts)
    largest = max((part.file_size for part in parts if part.filename.lower().endswith((".xml", ".rels"))), default=0)
    if len(parts) > MOST_PARTS or unpacked > MOST_UNPACKED or largest > MOST_XML:
        raise UnreadableDocument(
            f"would unpack to {unpacked / 1e6:,.0f} MB in {len(parts):,} parts, the largest of text "
            f"{largest / 1e6:,.0f} MB; at most {MOST_UNPACKED / 1e6:,.0f} MB, {MOST_PARTS:,} parts and "
            f"{MOST_XML / 1e6:,.0f} MB are read"
        )
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise UnreadableDocument("is protected by a password")
    return package
