"""Files to nodes: the same file always gives the same nodes with the same ids."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.embed import embedding_identity
from llama_index_ko_rerank.ingest.documents import DocumentText, FoundFile, Kind, Section
from llama_index_ko_rerank.ingest.records import SourceRecord
from llama_index_ko_rerank.text.kiwi import kiwi_version
from llama_index_ko_rerank.text.splitter import KoreanSentenceSplitter, make_splitter

_FORMAT = 1
_BETWEEN_HEADINGS = " > "
_NOT_EMBEDDED = ["source", "title", "page"]
_NOT_FOR_AN_LLM = ["source", "page"]


@dataclass(frozen=True, slots=True)
class Chunked:
    """A document as nodes, not embedded yet."""

    record: SourceRecord
    nodes: list[TextNode]


class Chunker:
    """Splits the text of files as one embedding model and one setting ask for.

    A node's metadata say where it comes from: ``source`` (the file's path below the folder that was named), ``title``,
    and where they are known ``headings`` and ``page``. Only the headings are embedded and searched with the text, for
    they are text of the document; the title and the headings are shown to an LLM.
    """

    def __init__(self, embed_model: BaseEmbedding, *, chunk_tokens: int | None) -> None:
        self._splitter: KoreanSentenceSplitter = make_splitter(embed_model, chunk_tokens=chunk_tokens)
        identity = embedding_identity(embed_model)
        # A model's folder may be renamed, as `identity_differences` knows; its fingerprint stays.
        model = {key: value for key, value in identity.items() if key != "name" or not identity.get("fingerprint")}
        self._settings = [
            _FORMAT,
            model,
            self._splitter.chunk_size,
            self._splitter.chunk_overlap,
            kiwi_version(),
        ]

    def recipe(self, kind: Kind, file: FoundFile) -> str:
        """Return a digest of all that makes nodes of this file, except its content."""
        return _digest([*self._settings, kind.identity, file.name])

    def content_sha256(self, recipe: str, text: DocumentText) -> str:
        """Return a digest of what was read and of the recipe; equal ones give equal nodes."""
        return _digest([recipe, asdict(text)])

    def chunked(self, file: FoundFile, text: DocumentText, record: SourceRecord) -> Chunked:
        """Split a document; the number of its chunks is put into the record.

        Node ids are ``<document id>:<number>``, numbered through all sections.
        """
        parts: list[tuple[str, dict[str, Any]]] = []
        for section in text.sections:
            metadata = _metadata(file, text.title, section)
            embedded = metadata.get("headings", "")
            parts += [(chunk, metadata) for chunk in self._splitter.split_text_metadata_aware(section.text, embedded)]
        whole = replace(record, chunks=len(parts))
        nodes = [
            TextNode(
                id_=f"{record.document_id}:{number}",
                text=chunk,
                metadata=dict(metadata),
                excluded_embed_metadata_keys=_NOT_EMBEDDED,
                excluded_llm_metadata_keys=_NOT_FOR_AN_LLM,
                metadata_template="{value}",
                relationships=whole.as_relationship(),
            )
            for number, (chunk, metadata) in enumerate(parts)
        ]
        return Chunked(whole, nodes)


def _metadata(file: FoundFile, title: str | None, section: Section) -> dict[str, Any]:
    metadata: dict[str, Any] = {"source": file.name, "title": title or file.path.name}
    if section.headings:
        metadata["headings"] = _BETWEEN_HEADINGS.join(section.headings)
    if section.page is not None:
        metadata["page"] = section.page
    return metadata


def _digest(value: list[Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
