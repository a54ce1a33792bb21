"""Documents of an office as text: plain text, Markdown, HTML, PDF, Word and Hangul files."""

from llama_index_ko_rerank.ingest.documents.find import FoundDocuments, FoundFile, SkippedFile, find_documents
from llama_index_ko_rerank.ingest.documents.read import Kind, kind_of, read_document, read_payload
from llama_index_ko_rerank.ingest.documents.text import DocumentText, Section

__all__ = [
    "DocumentText",
    "FoundDocuments",
    "FoundFile",
    "Kind",
    "Section",
    "SkippedFile",
    "find_documents",
    "kind_of",
    "read_document",
    "read_payload",
]
