import asyncio

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor

QUESTION = "연차는 누구에게 신청하나"


class CharacterCounts(BaseEmbedding):
    """Counts characters, so that texts with the same characters are near."""

    def _get_text_embedding(self, text):
        vector = [0.0] * 97
        for character in text:
            vector[ord(character) % 97] += 1.0
        return vector

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture
def index(texts):
    nodes = [TextNode(text=text, id_=f"n{place}") for place, text in enumerate(texts)]
    return VectorStoreIndex(nodes, embed_model=CharacterCounts())


@pytest.fixture
def reranker(model):
    return CrossEncoderNodePostprocessor(model, top_n=3, device="cpu", keep_retrieval_score=True)


@pytest.fixture
def engine(index, reranker):
    return RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=5), llm=MockLLM(), node_postprocessors=[reranker]
    )


def order_of(sources):
    return [(source.node.node_id, round(source.score, 6)) for source in sources]


def test_the_sources_are_the_reranked_nodes(engine, index, reranker):
    retrieved = index.as_retriever(similarity_top_k=5).retrieve(QUESTION)
    wanted = reranker.postprocess_nodes(retrieved, query_str=QUESTION)
    sources = engine.query(QUESTION).source_nodes
    assert order_of(sources) == order_of(wanted)
    assert len(sources) == 3


def test_the_reranker_changes_the_order_of_the_first_stage(engine, index):
    retrieved = index.as_retriever(similarity_top_k=5).retrieve(QUESTION)
    assert [name for name, _ in order_of(engine.query(QUESTION).source_nodes)] != [
        name for name, _ in order_of(retrieved)
    ][:3]


def test_the_llm_reads_the_reranked_texts_in_order_and_no_scores(engine):
    response = engine.query(QUESTION)
    prompt = str(response)
    places = [prompt.index(source.node.get_content()) for source in response.source_nodes]
    assert places == sorted(places)
    assert "retrieval" not in prompt
    assert str(response.source_nodes[0].score)[:6] not in prompt


def test_an_async_question_has_the_same_sources(engine):
    answered = asyncio.run(engine.aquery(QUESTION))
    assert order_of(answered.source_nodes) == order_of(engine.query(QUESTION).source_nodes)


def test_it_is_one_line_in_an_engine_that_is_there(index, reranker):
    engine = index.as_query_engine(similarity_top_k=5, llm=MockLLM(), node_postprocessors=[reranker])
    assert len(engine.query(QUESTION).source_nodes) == 3
