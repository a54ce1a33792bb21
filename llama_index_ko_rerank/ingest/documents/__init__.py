"""Documents of an office as text: plain text, Markdown, HTML, PDF, Word and Hangul files."""

from llama_index_ko_rerank.ingest.documents.document import DocumentText, Section
from llama_index_ko_rerank.ingest.documents.find import FoundDocuments, FoundFile, Refusal, find_documents
from llama_index_ko_rerank.ingest.documents.read import Kind, kind_of, read_document, read_payload

__all__ = [
    "DocumentText",
    "FoundDocuments",
    "FoundFile",
    "Kind",
    "Refusal",
    "Section",
    "find_documents",
    "kind_of",
    "read_document",
    "read_payload",
]
