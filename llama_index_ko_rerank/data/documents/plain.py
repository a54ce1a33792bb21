"""Plain text files."""

from __future__ import annotations

from llama_index_ko_rerank.data.documents.decoding import decode_text
from llama_index_ko_rerank.data.documents.document import DocumentText
from llama_index_ko_rerank.data.documents.outline import Outline


def read_plain(payload: bytes) -> DocumentText:
    """Read a text file as one section.

    Raises:
        UnreadableDocument: Its encoding is not known.
    """
    outline = Outline()
    outline.paragraph(decode_text(payload))
    return outline.document()
