"""A small market hall in Korean, and searchers that really look at the words."""

from collections import Counter
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset

TEXTS = {
    "apple": "사과 가게 는 아침 일찍 문 을 연다",
    "bread": "빵 가게 는 새벽 에 반죽 을 시작 한다",
    "fish": "생선 가게 는 오후 에 값 을 내린다",
    "flower": "꽃 가게 는 비 오는 날 쉰다",
}


def bigrams(text: str) -> Counter[str]:
    joined = text.replace(" ", "")
    return Counter(joined[start : start + 2] for start in range(len(joined) - 1))


class WordOverlapRetriever(BaseRetriever):
    """Ranks texts by how many words they share with the question; equal counts keep the order of the texts."""

    def __init__(self, texts: list[str], similarity_top_k: int = 10) -> None:
        super().__init__()
        self.texts = texts
        self.similarity_top_k = similarity_top_k
        self.seen: list[QueryBundle] = []

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.seen.append(query_bundle)
        words = set(query_bundle.query_str.split())
        scored = [(float(len(words & set(text.split()))), text) for text in self.texts]
        found = sorted((hit for hit in scored if hit[0]), key=lambda hit: -hit[0])[: self.similarity_top_k]
        return [NodeWithScore(node=TextNode(text=text), score=score) for score, text in found]


class BigramEmbedding(BaseEmbedding):
    """Counts hashed character bigrams; a query gets one more dimension's worth of weight, to be told from a text."""

    dimension: int = 64

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for bigram, count in bigrams(text).items():
            vector[sum(map(ord, bigram)) % (self.dimension - 1)] += count
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return [*self._vector(query)[:-1], 1.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector(text)


class BigramReranker(BaseNodePostprocessor):
    """Reorders by shared character bigrams, writing into the nodes it was handed as stock rerankers do."""

    top_n: int = 10

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        for hit in nodes:
            hit.score = float((bigrams(hit.get_content()) & bigrams(query_bundle.query_str)).total())
        return sorted(nodes, key=lambda hit: -(hit.score or 0.0))[: self.top_n]


def build_dataset(texts: dict[str, str], asked: list[tuple[str, tuple[str, ...]]], **changes: Any) -> RetrievalDataset:
    settings: dict[str, Any] = {
        "name": "market",
        "split": "test",
        "passages": tuple(Passage(name, text, title=f"{name} shop") for name, text in texts.items()),
        "questions": tuple(Question(f"q{place}", text, ids) for place, (text, ids) in enumerate(asked)),
    }
    return RetrievalDataset(**{**settings, **changes})


def scored(*hits: tuple[str, float | None]) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=score) for text, score in hits]
