"""What the store's benchmark indexes: statute articles and vectors that were computed once, read a batch at a time.

python -m benchmarks.store.corpus FOLDER ARTICLES DIMENSION
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from numpy.typing import NDArray

from benchmarks.paths import DATA
from benchmarks.paths import STATUTE_QUESTIONS as QUESTIONS

STATUTES = DATA / "corpus" / "statutes.parquet"
BATCH = 2048
SEED = 5
SAMPLED_TEXTS = 20_000
SHORT = 60
NOISE = 0.02
"""Standard deviation of what is added to each number of a repeated vector: at 256 numbers a cosine of some .95."""
NOISES = 8191
"""How many different noises there are; a prime, so that no article meets one of them twice."""


class NoEmbedding(BaseEmbedding):
    """Stands for the model in an index whose nodes and questions bring their vectors; it is never asked."""

    model_name: str = "statutes-static"
    dimension: int

    def _get_text_embedding(self, text: str) -> list[float]:
        raise NotImplementedError

    def _get_query_embedding(self, query: str) -> list[float]:
        raise NotImplementedError

    async def _aget_query_embedding(self, query: str) -> list[float]:
        raise NotImplementedError


class Corpus:
    """Articles with their vectors, and questions with theirs, in a folder that `prepare` has filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors: NDArray[np.float32] = np.load(folder / "vectors.npy", mmap_mode="r")
        self.questions: NDArray[np.float32] = np.load(folder / "questions.npy")
        self.model = NoEmbedding(dimension=self.vectors.shape[1])

    @property
    def articles(self) -> int:
        """How many articles there are; past them, articles are repeated."""
        return len(self.vectors)

    def batches(self, size: int) -> Iterator[list[TextNode]]:
        """Yield nodes in file order; past the last article again from the first, cut short, with vectors nearby."""
        made = 0
        while made < size:
            place = 0
            for batch in parquet.ParquetFile(STATUTES).iter_batches(BATCH, columns=["law", "kind", "text"]):
                rows = batch.to_pylist()[: min(size - made, self.articles - place)]
                if not rows:
                    break
                yield self._nodes(rows, made)
                made += len(rows)
                place += len(rows)

    def laws(self, size: int, count: int) -> list[str]:
        """Name the laws of some nodes, spread evenly."""
        column = parquet.read_table(STATUTES, columns=["law"])["law"]
        return [column[place].as_py() for place in np.linspace(0, min(size, self.articles) - 1, count, dtype=int)]

    def vector_block(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the vectors of nodes `start` to `stop`, all of one round through the articles."""
        turn, first = divmod(start, self.articles)
        block = np.array(self.vectors[first : first + stop - start])
        if turn:
            block += self._noise[np.arange(start, stop) % len(self._noise)]
        return block / np.linalg.norm(block, axis=1, keepdims=True)

    def least_of_best(self, size: int, top_k: int) -> list[float]:
        """Give, for each question, the cosine of its `top_k`-th best node, by looking at all of them."""
        best = np.full((len(self.questions), top_k), -2.0, np.float32)
        for start, stop in self._blocks(size):
            cosines = self.questions @ self.vector_block(start, stop).T
            best = np.sort(np.hstack([best, cosines]), axis=1)[:, -top_k:]
        return best[:, 0].tolist()

    @cached_property
    def _noise(self) -> NDArray[np.float32]:
        shape = (NOISES, self.vectors.shape[1])
        return np.random.default_rng(SEED).normal(0, NOISE, shape).astype(np.float32)

    def _blocks(self, size: int) -> Iterator[tuple[int, int]]:
        start = 0
        while start < size:
            turn = start // self.articles
            stop = min(size, start + BATCH, (turn + 1) * self.articles)
            yield start, stop
            start = stop

    def _nodes(self, rows: Sequence[dict[str, str]], start: int) -> list[TextNode]:
        vectors = self.vector_block(start, start + len(rows)).tolist()
        cut = SHORT if start >= self.articles else None
        return [
            article_node(start + number, row, vector, cut)
            for number, (row, vector) in enumerate(zip(rows, vectors, strict=True))
        ]


def article_node(number: int, row: dict[str, str], vector: list[float], cut: int | None) -> TextNode:
    """Make an article the one node of a document of its own."""
    return TextNode(
        id_=f"s{number}",
        text=row["text"][:cut],
        embedding=vector,
        metadata={"law": row["law"], "kind": row["kind"]},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{number}")},
    )


def prepare(folder: Path, *, articles: int, dimension: int) -> None:
    """Make a static embedding of a sample of the texts, and embed all articles and our 300 questions with it, once."""
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.train.models.scratch import StaticSettings, apply_idf_weights, static_model

    texts = parquet.read_table(STATUTES, columns=["text"])["text"].to_pylist()[:articles]
    sample = [texts[place] for place in np.random.default_rng(SEED).permutation(len(texts))[:SAMPLED_TEXTS]]
    model = static_model(sample, seed=SEED, settings=StaticSettings(dimension=dimension))
    apply_idf_weights(model, sample)
    model.save(str(folder / "model"))
    embedding = KoreanEmbedding(folder / "model", embed_batch_size=BATCH)
    vectors = np.empty((len(texts), dimension), np.float32)
    for start in range(0, len(texts), BATCH):
        vectors[start : start + BATCH] = embedding.get_text_embedding_batch(texts[start : start + BATCH])
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    questions: list[Any] = [embedding.get_query_embedding(json.loads(line)["question"]) for line in lines]
    np.save(folder / "questions.npy", np.array(questions, np.float32))
    np.save(folder / "vectors.npy", vectors)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), articles=int(sys.argv[2]), dimension=int(sys.argv[3]))
