from __future__ import annotations

import asyncio
import json

import pytest
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.answer.extractive import ExtractiveSynthesizer
from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting
from tests.corpora.answers import CANTEEN, LEAVE, PARKING, found, handbook

QUESTION = "휴가는 며칠이고 점심은 몇 시부터인가요?"
ANSWER = """다음은 문서에서 그대로 옮긴 문장입니다.

- 연차 휴가는 한 해에 15일이다. [2]
- 점심은 오전 11시 30분부터 준다. [3]

출처
[2] 휴가 규정
[3] 식당.md"""


def test_the_answer_says_that_it_is_extracts_and_names_their_sources():
    leave, canteen, parking, _ = handbook()
    response = ExtractiveSynthesizer(2).synthesize(QUESTION, found(parking, leave, canteen))
    assert str(response) == ANSWER
    assert [source.node.text for source in response.source_nodes] == [PARKING, LEAVE, CANTEEN]


def test_the_metadata_give_the_place_of_each_extract_in_its_node():
    leave, canteen, parking, _ = handbook()
    response = ExtractiveSynthesizer(2).synthesize(QUESTION, found(parking, leave, canteen))
    metadata = json.loads(json.dumps(response.metadata))
    texts = [response.source_nodes[place["source"] - 1].node.text for place in metadata["extracts"]]
    assert metadata["kind"] == "extracts"
    assert [record["node_id"] for record in metadata["sources"]] == ["parking", "leave", "canteen"]
    assert [text[place["start"] : place["end"]] for text, place in zip(texts, metadata["extracts"], strict=True)] == [
        "연차 휴가는 한 해에 15일이다.",
        "점심은 오전 11시 30분부터 준다.",
    ]
    assert all(isinstance(place["score"], float) for place in metadata["extracts"])


def test_metadata_of_a_node_are_not_quoted():
    node = TextNode(text=LEAVE, metadata={"title": "점심 점심 점심"})
    response = ExtractiveSynthesizer(5).synthesize("점심은?", found(node))
    assert "- 점심" not in str(response)


def test_the_scorer_decides():
    response = ExtractiveSynthesizer(1, scorer=lambda question, sentences: range(len(sentences))).synthesize(
        QUESTION, found(*handbook()[:3])
    )
    assert "- 방문 차량은 두 시간까지 무료다. [3]" in str(response)


def test_sources_without_a_sentence_are_not_an_answer():
    blank = TextNode(text=" \n ", metadata={"title": "빈 문서"})
    response = ExtractiveSynthesizer().synthesize(QUESTION, found(blank))
    assert response.source_nodes == []
    assert response.metadata == {"kind": "not_found", "sources": [], "nearest_titles": ["빈 문서"]}
    assert str(response).endswith("- 빈 문서")


def test_streamed_lines_make_the_same_answer():
    nodes = found(handbook()[2], handbook()[0], handbook()[1])
    response = ExtractiveSynthesizer(2, streaming=True).synthesize(QUESTION, nodes)
    assert isinstance(response, StreamingResponse)
    assert list(response.response_gen) == ANSWER.splitlines(keepends=True)


def test_async_and_async_streaming_make_the_same_answer():
    nodes = found(handbook()[2], handbook()[0], handbook()[1])

    async def answers():
        whole = await ExtractiveSynthesizer(2).asynthesize(QUESTION, nodes)
        streamed = await ExtractiveSynthesizer(2, streaming=True).asynthesize(QUESTION, nodes)
        assert isinstance(streamed, AsyncStreamingResponse)
        return str(whole), "".join([piece async for piece in streamed.async_response_gen()])

    assert asyncio.run(answers()) == (ANSWER, ANSWER)


def test_nothing_found_streams_too():
    async def streamed():
        response = await ExtractiveSynthesizer(streaming=True).asynthesize(QUESTION, [])
        return (await response.get_response()).response

    said = "질문에 답할 내용을 문서에서 찾지 못했습니다."
    assert str(ExtractiveSynthesizer(streaming=True).synthesize(QUESTION, [])) == said
    assert asyncio.run(streamed()) == said


def test_plain_texts_are_quoted_too():
    assert "- 점심은 오전 11시 30분부터 준다. [1]" in ExtractiveSynthesizer(1).get_response("점심은?", [CANTEEN])


def test_there_is_no_prompt_to_read_or_to_set():
    synthesizer = ExtractiveSynthesizer()
    assert synthesizer.get_prompts() == {}
    with pytest.raises(InvalidSetting, match="without an LLM"):
        synthesizer.update_prompts({"text_qa_template": PromptTemplate("{context_str}")})


def test_no_sentences_and_no_question_are_refused():
    with pytest.raises(InvalidSetting, match="sentences must be 1 or more, not 0"):
        ExtractiveSynthesizer(0)
    with pytest.raises(BlankQuery):
        ExtractiveSynthesizer().synthesize(" ", found(*handbook()))
