"""Rerank plain strings, with no LlamaIndex in your code, and the same behind LangChain's compressor shape.

    python examples/langchain_or_plain.py

A cross-encoder needs a question and some texts, nothing else. `load_scorer` loads one, and `rerank_texts` orders texts
by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index_ko_rerank.rerank.cross_encoder.scorer import PairScorer, ScorerSettings, load_scorer, rerank_texts

QUESTION = "화분에 물은 며칠에 한 번 주나요?"
TEXTS = [
    "이 화분은 햇빛이 드는 창가에 두되 한여름에는 그늘로 옮긴다.",
    "화분에 물은 닷새에 한 번, 흙이 마른 뒤에 준다.",
    "분갈이는 두 해에 한 번 봄에 하고, 새 흙에 모래를 섞는다.",
    "잎이 누렇게 되면 물을 줄이고 바람이 통하는 곳에 둔다.",
]


@dataclass
class Document:
    """What LangChain calls a document: a text and its metadata. With LangChain installed, import its own."""

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


class KoreanCompressor:
    """The shape of LangChain's `BaseDocumentCompressor`, which its `ContextualCompressionRetriever` asks.

    In a LangChain app derive from that class, keep the method, and it goes where any compressor goes.
    """

    def __init__(self, scorer: PairScorer, *, top_n: int = 3) -> None:
        self.scorer = scorer
        self.top_n = top_n

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: object = None,  # noqa: ARG002  LangChain's signature
    ) -> Sequence[Document]:
        """Return the best documents as copies that say how sure the model is; those handed in stay as they are."""
        texts = [document.page_content for document in documents]
        return [
            Document(hit.text, {**documents[hit.position].metadata, "relevance_score": hit.probability})
            for hit in rerank_texts(query, texts, scorer=self.scorer, top_n=self.top_n)
        ]


def main() -> None:
    """Rerank strings, then documents of LangChain's shape."""
    # Keep the scorer: its model is loaded once, and it remembers what it has read. Any thread may ask it.
    scorer = load_scorer(ScorerSettings("ko-mini-rerank"))

    print(QUESTION)
    for hit in rerank_texts(QUESTION, TEXTS, scorer=scorer):
        print(f"  {hit.probability:.3f}  was number {hit.position + 1}  {hit.text}")

    print("\nthe same as documents")
    documents = [Document(text, {"page": page}) for page, text in enumerate(TEXTS, start=1)]
    for document in KoreanCompressor(scorer, top_n=2).compress_documents(documents, QUESTION):
        print(f"  {document.metadata['relevance_score']:.3f}  page {document.metadata['page']}")


if __name__ == "__main__":
    main()
