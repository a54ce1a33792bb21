"""Use an embedding of your own: in an index, in a hybrid, and measured against ours.

    python examples/any_embedding.py

Any LlamaIndex `BaseEmbedding` fits wherever `KoreanEmbedding` does, OpenAI's and Cohere's among them. The one below
needs no model at all: it counts the character pairs and triples of a text into 512 boxes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from zlib import crc32

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank import (
    HybridRetriever,
    KoreanBM25Retriever,
    KoreanEmbedding,
    SearchSystem,
    build_index,
    dataset_nodes,
    evaluate_retrieval,
    load_dataset,
)


class HashedCharacters(BaseEmbedding):
    """The hashing trick over character n-grams. LlamaIndex asks for these three methods and no more."""

    model_name: str = "hashed-characters"
    dimension: int = 512  # an index keeps both, and refuses to be searched with another model

    def _get_text_embedding(self, text: str) -> list[float]:
        boxes = [0.0] * self.dimension
        for size in (2, 3):
            for start in range(len(text) - size + 1):
                boxes[crc32(text[start : start + size].encode()) % self.dimension] += 1.0
        return boxes  # of any length: the store makes unit vectors of them

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main() -> None:
    """Ask 60 questions of the sample that ships with the package by each way of searching."""
    sample = load_dataset("sample", "validation")
    nodes = dataset_nodes(sample)
    with tempfile.TemporaryDirectory() as folder:
        foreign = build_index(nodes, Path(folder) / "foreign", embed_model=HashedCharacters())
        ours = build_index(nodes, Path(folder) / "ours", embed_model=KoreanEmbedding())
        words = KoreanBM25Retriever.from_index(foreign)
        foreign_dense = foreign.as_retriever(similarity_top_k=10)

        report = evaluate_retrieval(
            {
                "hashed characters": SearchSystem(foreign_dense, embed_model=HashedCharacters()),
                "ko-static": SearchSystem(ours.as_retriever(similarity_top_k=10), embed_model=KoreanEmbedding()),
                "words": words,
                "words + hashed characters": HybridRetriever.from_defaults(words, foreign_dense),
            },
            sample,
            limit=60,
        )
    # One row a system, with 95 % intervals: sixty questions tell little apart. `embed` and `search` are timed apart.
    print(report.to_markdown())


if __name__ == "__main__":
    main()
