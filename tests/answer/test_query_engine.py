from __future__ import annotations

import asyncio
import unicodedata

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import QueryBundle, TextNode

from llama_index_ko_rerank.answer.query_engine import build_query_engine
from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from tests.corpora.answers import (
    CANTEEN,
    LEAVE,
    BigramEmbedding,
    BigramRetriever,
    RecordingLLM,
    WordThreshold,
    fences,
    handbook,
)

NOT_FOUND = "질문에 답할 내용을 문서에서 찾지 못했습니다."


@pytest.fixture
def retriever():
    return BigramRetriever(handbook())


@pytest.fixture
def llm():
    return RecordingLLM()


@pytest.fixture(autouse=True)
def _no_default_llm(monkeypatch):
    def refuse(_settings):
        raise AssertionError("Settings.llm was used")

    monkeypatch.setattr(type(Settings), "llm", property(refuse))


def ids(response):
    return [source.node.node_id for source in response.source_nodes]


def test_without_an_llm_the_answer_is_extracts(retriever):
    response = build_query_engine(retriever, sentences=1).query("점심은 몇 시부터 주나요?")
    assert "- 점심은 오전 11시 30분부터 준다. [1]" in str(response)
    assert ids(response)[0] == "canteen"


def test_with_an_llm_the_answer_is_its_own(retriever, llm):
    engine = build_query_engine(retriever, llm=llm)
    response = engine.query("점심은 몇 시부터 주나요?")
    bodies = fences(llm.prompts[0]).bodies
    assert isinstance(engine, RetrieverQueryEngine)
    assert str(response) == f"자료 {len(bodies)}개를 읽었습니다. [1]"
    assert CANTEEN in bodies[1]


def test_an_index_gives_as_many_candidates_as_asked_for(llm):
    index = VectorStoreIndex(handbook(), embed_model=BigramEmbedding())
    response = build_query_engine(index, llm=llm, similarity_top_k=2).query("연차 휴가는 한 해에 며칠인가요?")
    assert ids(response)[0] == "leave"
    assert len(ids(response)) == 2
    assert (
        index.as_retriever(similarity_top_k=2).retrieve("연차 휴가는 한 해에 며칠인가요?")[1].node.node_id
        == ids(response)[1]
    )


def test_only_the_first_top_n_nodes_are_used(retriever, llm):
    question = "휴가와 점심과 주차와 노트북 교체 주기는 어디에 있다고 하나요?"
    assert len(retriever.retrieve(question)) > 2
    response = build_query_engine(retriever, llm=llm, top_n=2).query(question)
    assert len(fences(llm.prompts[0]).bodies) == 2
    assert ids(response) == [node.node.node_id for node in retriever.retrieve(question)[:2]]


def test_numbers_follow_the_reranker(retriever, llm):
    question = "휴가는 며칠이고 점심은 몇 시부터 주나요?"
    before = [node.node.node_id for node in retriever.retrieve(question)]
    response = build_query_engine(retriever, llm=llm, reranker=WordThreshold(word="다")).query(question)
    assert ids(response) == before[::-1]
    assert [record["node_id"] for record in response.metadata["sources"]] == before[::-1]
    assert response.source_nodes[0].node.text in fences(llm.prompts[0]).bodies[1]


@pytest.mark.parametrize("with_llm", [True, False])
def test_where_no_node_passes_the_reranker_the_nearest_titles_are_named(retriever, llm, with_llm):
    engine = build_query_engine(
        retriever, llm=llm if with_llm else None, reranker=WordThreshold(word="우주여행"), top_n=1
    )
    response = engine.query("점심에 남은 휴가를 쓰나요?")
    nearest = retriever.retrieve("점심에 남은 휴가를 쓰나요?")
    assert len(nearest) >= 2
    assert str(response).startswith(f"{NOT_FOUND}\n\n가장 가까운 문서는 다음과 같습니다.\n- ")
    assert {"휴가 규정", "식당.md"} <= set(response.metadata["nearest_titles"])
    assert all(f"- {title}" in str(response) for title in response.metadata["nearest_titles"])
    assert response.source_nodes == []
    assert llm.prompts == []


@pytest.mark.parametrize("streaming", [True, False])
def test_where_nothing_is_found_the_answer_says_so_and_no_llm_is_asked(llm, streaming):
    engine = build_query_engine(BigramRetriever([]), llm=llm, reranker=WordThreshold(word="다"), streaming=streaming)

    async def asked():
        response = await engine.aquery("점심은?")
        return (await response.get_response()).response if streaming else str(response)

    assert str(engine.query("점심은?")) == asyncio.run(asked()) == NOT_FOUND
    assert llm.prompts == []


def test_a_decomposed_question_is_asked_in_composed_form(retriever, llm):
    question = "점심은 몇 시부터 주나요?"
    engine = build_query_engine(retriever, llm=llm)
    composed = engine.query(question)
    decomposed = engine.query(f" {unicodedata.normalize('NFD', question)}\u200b")
    assert decomposed.response == composed.response
    assert retriever.asked == [question, question]
    assert llm.prompts[0] == llm.prompts[1]


def test_the_question_handed_in_is_not_changed(retriever):
    bundle = QueryBundle(unicodedata.normalize("NFD", "점심은 몇 시부터 주나요?"))
    before = QueryBundle(bundle.query_str)
    engine = build_query_engine(retriever)
    engine.query(bundle)
    engine.retrieve(bundle)
    assert bundle == before


def test_async_and_streaming_give_the_same_answer(retriever, llm):
    question = "점심은 몇 시부터 주나요?"
    expected = str(build_query_engine(retriever, llm=llm).query(question))
    streaming = build_query_engine(retriever, llm=llm, streaming=True)

    async def streamed():
        response = await streaming.aquery(question)
        return "".join([piece async for piece in response.async_response_gen()])

    assert str(streaming.query(question)) == expected
    assert asyncio.run(streamed()) == expected
    assert str(asyncio.run(build_query_engine(retriever, llm=llm).aquery(question))) == expected


def test_nodes_can_be_retrieved_without_an_answer(retriever, llm):
    engine = build_query_engine(retriever, llm=llm, reranker=WordThreshold(word="다"), top_n=1)
    bundle = QueryBundle("휴가는 며칠이고 점심은 몇 시부터 주나요?")
    last = retriever.retrieve(bundle.query_str)[-1].node.node_id
    assert [node.node.node_id for node in engine.retrieve(bundle)] == [last]
    assert [node.node.node_id for node in asyncio.run(engine.aretrieve(bundle))] == [last]
    assert llm.prompts == []


def test_another_retriever_keeps_the_reranker_and_the_numbers(retriever, llm):
    engine = build_query_engine(retriever, llm=llm, reranker=WordThreshold(word="휴가"), top_n=1)
    more = BigramRetriever([*handbook(), TextNode(id_="new", text="새 휴가 규정은 내년에 나온다.")])
    assert ids(engine.with_retriever(more).query("새 휴가 규정은 언제 나오나요?")) == ["leave"]
    assert ids(engine.with_retriever(more).query("새 휴가 규정은 언제 나오나요?")) != ids(
        build_query_engine(more, llm=llm).query("새 휴가 규정은 언제 나오나요?")
    )


def test_callbacks_see_the_query_the_synthesis_and_the_llm(retriever, llm):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = build_query_engine(retriever, llm=llm, callback_manager=CallbackManager([debug]))
    engine.query("점심은 몇 시부터 주나요?")
    for kind in (CBEventType.QUERY, CBEventType.SYNTHESIZE, CBEventType.LLM):
        assert len(debug.get_event_pairs(kind)) == 1


@pytest.mark.parametrize("question", ["", " \n\t", "\u200b"])
@pytest.mark.parametrize("with_llm", [True, False])
def test_a_blank_question_is_refused_before_anything_is_asked(retriever, llm, question, with_llm):
    engine = build_query_engine(retriever, llm=llm if with_llm else None)
    with pytest.raises(BlankQuery):
        engine.query(question)
    with pytest.raises(BlankQuery):
        asyncio.run(engine.aquery(question))
    with pytest.raises(BlankQuery):
        engine.retrieve(QueryBundle(question))
    assert retriever.asked == []


def test_a_question_with_lone_surrogates_is_refused(retriever):
    with pytest.raises(InvalidText):
        build_query_engine(retriever).query("점심은 \ud800?")


def test_a_question_of_a_hundred_thousand_characters_is_answered_by_extracts(retriever):
    response = build_query_engine(retriever, sentences=1).query(f"{'점심은 몇 시부터 주나요? ' * 7200}")
    assert "- 점심은 오전 11시 30분부터 준다. [1]" in str(response)


@pytest.mark.parametrize("name", ["similarity_top_k", "top_n", "sentences"])
def test_numbers_under_one_are_refused(retriever, name):
    with pytest.raises(InvalidSetting, match=f"{name} must be 1 or more, not 0"):
        build_query_engine(retriever, **{name: 0})


def test_what_is_no_index_no_retriever_and_no_folder_is_refused():
    with pytest.raises(InvalidSetting, match="not list"):
        build_query_engine([LEAVE])
