"""A film adviser that one talks with: years and genres become filters, the rest is searched, reasons are given.

    python examples/movie_chatbot.py ["2010년대 코미디 영화 추천해 줘" ...]

No LLM is needed: a reason is the sentence of the description that fits the question best. The films do not exist.
"""

from __future__ import annotations

import re
import sys
import tempfile

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from llama_index_ko_rerank import HybridRetriever, KoreanBM25Retriever, build_chat_engine, build_index
from llama_index_ko_rerank.answer import extract_sentences

GENRES = ("로맨스", "코미디", "SF")
FILMS = """
등대지기의 여름 | 2012 | 로맨스 | 외딴섬 등대지기가 바다를 그리러 온 화가와 사랑에 빠진다. 여름이 끝나자 배가 온다.
파도 우체국 | 2018 | 로맨스 | 바다 마을 우체국에서 잘못 온 편지가 두 사람을 잇는다. 비 오는 날 읽기 좋다.
김 과장의 우주여행 | 2015 | 코미디 | 회식 자리에서 뽑은 표로 우주에 간 회사원이 부장에게 보고서를 보낸다.
할머니 탐정단 | 2019 | 코미디 | 시골 할머니 넷이 사라진 소를 찾아 온 마을을 뒤진다. 웃다 보면 눈물이 난다.
만우절 재판 | 2003 | 코미디 | 거짓말로 고소당한 개그맨이 법정에서 스스로를 변호한다.
화성 농부 | 2009 | SF | 화성에서 홀로 감자를 키우던 농부가 이웃 기지의 구조 신호를 받는다.
"""
QUESTIONS = ("2015년 이후 바다 로맨스 추천해 줘", "그럼 2012년에는?", "2010년대 시골 코미디 있어?", "1990년대 SF는?")


def filters_of(question: str) -> MetadataFilters:
    """Read what a question says of year and genre."""
    filters = [MetadataFilter(key="genre", value=genre) for genre in GENRES if genre in question.upper()]
    for year, relation in re.findall(r"(\d{4})년(대| 이후| 이전|)", question):
        first, last = int(year), int(year) + 9 if relation == "대" else int(year)
        if relation != " 이전":
            filters.append(MetadataFilter(key="year", operator=FilterOperator.GTE, value=first))
        if relation != " 이후":
            filters.append(MetadataFilter(key="year", operator=FilterOperator.LTE, value=last))
    return MetadataFilters(filters=filters)


class FilmRetriever(BaseRetriever):
    """Searches words and meaning among the films that a question's year and genre leave."""

    def __init__(self, index: VectorStoreIndex) -> None:
        self._index, self._words = index, KoreanBM25Retriever.from_index(index)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self._words.filters = filters_of(query_bundle.query_str)
        meaning = self._index.as_retriever(similarity_top_k=10, filters=self._words.filters)
        return HybridRetriever.from_defaults(self._words, meaning).retrieve(query_bundle)


def main() -> None:
    """Answer the questions of the command line, or ours."""
    nodes = []
    for line in FILMS.strip().splitlines():
        title, year, genre, plot = line.split(" | ")
        nodes.append(TextNode(text=plot, metadata={"title": title, "year": int(year), "genre": genre}))
    with tempfile.TemporaryDirectory() as folder:
        chat = build_chat_engine(FilmRetriever(build_index(nodes, folder)), top_n=2)
        for question in sys.argv[1:] or QUESTIONS:
            response = chat.chat(question)  # which remembers what was asked before
            print(f"\n> {question}")
            for found in response.source_nodes:
                film = found.node.metadata
                reason = extract_sentences(question, [found.node.get_content()], sentences=1)[0].text
                print(f"- {film['title']} ({film['year']}, {film['genre']}): {reason}")
            if not response.source_nodes:
                print(response)  # says that nothing was found, and invents nothing


if __name__ == "__main__":
    main()
