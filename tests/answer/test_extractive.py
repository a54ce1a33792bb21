from __future__ import annotations

import asyncio
import json
import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.answer.extractive import (
    NEIGHBOUR_WEIGHT,
    RANK_PENALTY,
    ExtractiveSynthesizer,
    clear_passage_cache,
    extract_sentences,
    overlap_scores,
    split_passage,
)
from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from tests.corpora.answers import CANTEEN, LAPTOP, LEAVE, PARKING, found, handbook

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


SENTENCES = LEAVE.split(". ") + CANTEEN.split(". ")
TEXTS = st.lists(st.lists(st.sampled_from(SENTENCES), max_size=5).map(". ".join), max_size=4)


def test_the_sentence_that_answers_is_taken_as_it_stands():
    (extract,) = extract_sentences("점심은 몇 시부터 주나요?", [LEAVE, CANTEEN], sentences=1)
    assert extract.text == "점심은 오전 11시 30분부터 준다."
    assert extract.source == 2
    assert CANTEEN[extract.start : extract.end] == extract.text


@given(texts=TEXTS, question=st.sampled_from(SENTENCES), sentences=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_extracts_are_distinct_substrings_in_reading_order(texts, question, sentences):
    extracts = extract_sentences(question, texts, sentences=sentences)
    assert [texts[extract.source - 1][extract.start : extract.end] for extract in extracts] == [
        extract.text for extract in extracts
    ]
    assert [(e.source, e.start) for e in extracts] == sorted((e.source, e.start) for e in extracts)
    assert len({extract.text for extract in extracts}) == len(extracts) <= sentences
    assert bool(extracts) == any(text.strip() for text in texts)


def test_numbers_and_latin_words_are_matched_in_any_case():
    (extract,) = extract_sentences("thinkpad x1은 누가 쓰나요", [PARKING, LAPTOP], sentences=1)
    assert extract.text == "노트북은 ThinkPad X1을 준다."
    (extract,) = extract_sentences("15일은 무엇인가요", [PARKING, LEAVE], sentences=1)
    assert extract.text == "연차 휴가는 한 해에 15일이다."


def test_a_sentence_beside_a_matching_one_comes_before_a_distant_one():
    text = "회사는 산 아래에 있다. 건물은 세 채다. 연차 휴가는 넉넉하다. 한 해에 15일을 준다. 창문은 크다."
    extracts = extract_sentences("연차 휴가는 어떤가요", [text], sentences=3)
    assert [extract.text for extract in extracts] == [
        "건물은 세 채다.",
        "연차 휴가는 넉넉하다.",
        "한 해에 15일을 준다.",
    ]


def test_a_better_passage_wins_where_sentences_share_as_much():
    extracts = extract_sentences("도서관", ["도서관은 1층이다.", "도서관은 2층이다."], sentences=1)
    assert [extract.text for extract in extracts] == ["도서관은 1층이다."]


def test_a_sentence_of_two_overlapping_passages_counts_once_at_its_better_place():
    extracts = extract_sentences("휴가를 다음 해로 넘기나요", [CANTEEN, LEAVE, LEAVE], sentences=6)
    assert [extract.source for extract in extracts] == [1, 1, 1, 2, 2, 2]


def test_the_form_of_the_question_and_of_the_text_change_nothing_but_offsets():
    question = "점심은 몇 시부터 주나요?"
    decomposed = unicodedata.normalize("NFD", CANTEEN)
    (composed,) = extract_sentences(question, [CANTEEN], sentences=1)
    assert extract_sentences(unicodedata.normalize("NFD", question), [CANTEEN], sentences=1) == [composed]
    (extract,) = extract_sentences(question, [decomposed], sentences=1)
    assert decomposed[extract.start : extract.end] == extract.text
    assert unicodedata.normalize("NFC", extract.text) == composed.text


def test_a_scorer_takes_the_place_of_the_overlap():
    asked = []

    def prefer_short(question, sentences):
        asked.append((question, sentences))
        return np.array([-len(sentence) for sentence in sentences], np.float32)

    extracts = extract_sentences("점심은?", [LEAVE, CANTEEN], sentences=1, scorer=prefer_short)

    assert [extract.text for extract in extracts] == ["구내식당은 본관 지하에 있다."]
    assert extracts[0].score == -16.0
    assert isinstance(extracts[0].score, float)
    assert asked == [("점심은?", [f"{s.removesuffix('.')}." for s in [*LEAVE.split(". "), *CANTEEN.split(". ")]])]


def test_equal_scores_keep_the_reading_order():
    extracts = extract_sentences("점심은?", [LEAVE, CANTEEN], sentences=4, scorer=lambda _, sentences: [0.5] * 6)
    assert [extract.source for extract in extracts] == [1, 1, 1, 2]


@pytest.mark.parametrize("scores", [[1.0] * 5, [1.0] * 7, [1.0] * 5 + [float("nan")]])
def test_a_scorer_that_miscounts_or_gives_nan_is_refused(scores):
    with pytest.raises(InvalidSetting, match="the scorer returned"):
        extract_sentences("점심은?", [LEAVE, CANTEEN], scorer=lambda question, sentences: scores)


def test_blank_texts_give_nothing_and_the_scorer_is_not_asked():
    def refuse(question, sentences):
        raise AssertionError("asked")

    assert extract_sentences("점심은?", ["", " \n\t"], scorer=refuse) == []
    assert extract_sentences("점심은?", []) == []


def test_a_question_of_nothing_but_marks_takes_the_first_sentences_of_the_best_passage():
    extracts = extract_sentences("???", [LEAVE, CANTEEN], sentences=2)
    assert [extract.text for extract in extracts] == LEAVE.replace(". ", ".\n").splitlines()[:2]


@pytest.mark.parametrize("question", ["", " \n", "\u200b\ufeff"])
def test_a_blank_question_is_refused(question):
    with pytest.raises(BlankQuery):
        extract_sentences(question, [LEAVE])


def test_lone_surrogates_and_a_count_of_zero_are_refused():
    with pytest.raises(InvalidText):
        extract_sentences("점심은?", ["한\ud800글"])
    with pytest.raises(InvalidText):
        extract_sentences("한\ud800글", [LEAVE])
    with pytest.raises(InvalidSetting, match="sentences must be 1 or more, not 0"):
        extract_sentences("점심은?", [LEAVE], sentences=0)


def test_a_passage_is_its_sentences_with_the_words_of_each():
    read = split_passage(CANTEEN)
    assert [CANTEEN[sentence.start : sentence.end] for sentence in read.sentences] == [
        sentence.text for sentence in read.sentences
    ]
    assert len(read.sentences) == len(read.words) == 3
    assert {"점심", "11", "30"} <= read.words[1]


def test_a_passage_is_read_once_until_it_is_forgotten():
    first = split_passage(CANTEEN)
    assert split_passage(CANTEEN) is first
    clear_passage_cache()
    assert split_passage(CANTEEN) is not first
    assert split_passage(CANTEEN) == first


def test_a_long_passage_is_not_kept_in_memory():
    text = CANTEEN * 100
    assert len(text) > 4000
    assert split_passage(text) is not split_passage(text)


def test_lone_surrogates_are_refused():
    with pytest.raises(InvalidText):
        split_passage("한\ud800글")


WORDS = st.lists(st.sampled_from("가나다라"), max_size=4)
PASSAGES = st.lists(st.lists(WORDS, max_size=4), max_size=4)


def test_a_rare_word_weighs_more_than_a_common_one():
    # N = 4 sentences; 수도 stands in one, 한국 in three.
    passage = [["수도"], ["인구"], ["한국"], ["한국", "면적"], ["한국"]]
    capital = math.log(1 + 4.5 / 1.5)
    korea = math.log(1 + 2.5 / 3.5)

    scores = overlap_scores(["한국", "수도"], [passage])[0]

    share = {"수도": capital / (capital + korea), "한국": korea / (capital + korea)}
    assert scores[0] == pytest.approx(share["수도"])
    assert scores[1] == pytest.approx(NEIGHBOUR_WEIGHT * share["수도"])
    assert scores[2] == pytest.approx(share["한국"] * (1 + NEIGHBOUR_WEIGHT))
    assert scores[4] == pytest.approx(share["한국"] * (1 + NEIGHBOUR_WEIGHT))


def test_each_rank_costs_the_same_and_passages_do_not_lend_to_each_other():
    scores = overlap_scores(["수도"], [[["수도"]], [["인구"]], [["수도"], ["인구"]]])
    assert scores[0] == [pytest.approx(1.0)]
    assert scores[1] == [pytest.approx(-RANK_PENALTY)]
    assert scores[2] == [pytest.approx(1 - 2 * RANK_PENALTY), pytest.approx(NEIGHBOUR_WEIGHT - 2 * RANK_PENALTY)]


def test_where_nothing_is_shared_the_rank_alone_decides():
    assert overlap_scores(["없음"], [[["가"], ["나"]], [["다"]]]) == [[0.0, 0.0], [-RANK_PENALTY]]
    assert overlap_scores([], [[["가"]], [["다"]]]) == [[0.0], [-RANK_PENALTY]]


@given(question=WORDS, passages=PASSAGES)
def test_every_sentence_has_one_finite_score_whatever_the_order_of_the_question(question, passages):
    scores = overlap_scores(question, passages)
    assert [len(passage) for passage in scores] == [len(passage) for passage in passages]
    again = overlap_scores([*reversed(question), *question], passages)
    for passage, other in zip(scores, again, strict=True):
        assert passage == pytest.approx(other)
        assert all(math.isfinite(score) for score in passage)
