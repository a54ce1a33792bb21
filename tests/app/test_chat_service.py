from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

import pytest
from llama_index.core.llms import MockLLM

from llama_index_ko_rerank.app.chat_service import LONGEST_QUESTION, ChatService, Turn
from llama_index_ko_rerank.app.components import SearchOptions, open_components, warm_up
from llama_index_ko_rerank.errors import EmptyCorpus, IndexNotFound, InvalidSetting, LlmUnavailable

SICK = "병가는 며칠까지 쓸 수 있나요?"


def asked(answerer, question, switches=None, earlier=()):
    async def all_steps():
        return [step async for step in answerer.ask(question, switches or SearchOptions(), earlier)]

    return asyncio.run(all_steps())


class EchoingLLM(MockLLM):
    """Says one sentence with a citation that is a source and one that is none, a few letters at a time."""

    async def astream(self, prompt, **variables):
        async def pieces():
            for piece in ("병가는 60", "일입니다 [1", "][9]."):
                yield piece

        return pieces()


class DeadLLM(MockLLM):
    async def astream(self, prompt, **variables):
        raise LlmUnavailable("the server is down")


def test_the_sources_are_known_before_the_answer_which_then_grows(parts):
    steps = asked(ChatService(parts), SICK)
    assert [steps[0].stage, steps[1].stage, steps[-1].stage] == ["searching", "answering", "done"]
    assert steps[1].sources
    assert not steps[1].answer
    grown = [step.answer for step in steps[1:]]
    assert all(later.startswith(before) for before, later in pairwise(grown))
    assert len(set(grown)) > 3
    assert "60일까지" in steps[-1].answer
    assert steps[-1].kind == "extracts"
    assert steps[-1].sources[0].title == "병가 규정"
    assert steps[-1].citable == len(steps[-1].sources)


def test_every_stage_is_timed_and_one_that_does_not_take_place_is_not(parts):
    times = asked(ChatService(parts), SICK)[-1].times
    stages = [times.retrieve_ms, times.rerank_ms, times.answer_ms]
    assert all(duration_ms > 0 for duration_ms in stages)
    assert sum(stages) <= times.total_ms
    assert asked(ChatService(parts), SICK, SearchOptions(reranker="none"))[-1].times.rerank_ms is None


def test_switches_change_the_legs_the_reranker_and_the_number_of_sources(parts):
    answerer = ChatService(parts)
    by_words = asked(answerer, SICK, SearchOptions("lexical", "none", 3))[-1]
    assert {leg.name for leg in by_words.sources[0].legs} == {"lexical", "morphemes", "bigrams"}
    assert by_words.sources[0].rerank_score is None
    by_meaning = asked(answerer, SICK, SearchOptions("dense", "cross-encoder", 2))[-1]
    assert {leg.name for leg in by_meaning.sources[0].legs} == {"dense"}
    assert 0 <= by_meaning.sources[0].rerank_score <= 1
    assert len(by_meaning.sources) == 2
    assert {leg.name for leg in asked(answerer, SICK)[-1].sources[0].legs} >= {"lexical", "dense"}


def test_ranks_before_are_the_order_without_a_reranker(parts):
    answerer = ChatService(parts)
    before = asked(answerer, SICK, SearchOptions("hybrid", "none", 5))[-1]
    after = asked(answerer, SICK, SearchOptions("hybrid", "cross-encoder", 5))[-1]
    place = {source.node_id: source.number for source in before.sources}
    assert [source.rank_before for source in after.sources] == [place[source.node_id] for source in after.sources]
    assert [source.number for source in after.sources] == list(range(1, len(after.sources) + 1))


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (None, "적어"),
        ("  \n\u200b ", "적어"),
        ("가" * (LONGEST_QUESTION + 1), "500자"),
        ("한\ud800글", "읽을 수 없는"),
    ],
)
def test_a_question_that_cannot_be_asked_gets_a_korean_notice_and_no_search(parts, question, said):
    (step,) = asked(ChatService(parts), question)
    assert step.stage == "refused"
    assert said in step.notice


def test_the_longest_question_is_answered(parts):
    assert asked(ChatService(parts), (SICK * 40)[:LONGEST_QUESTION])[-1].stage == "done"


def test_nothing_found_is_said_and_no_source_is_shown(parts):
    last = asked(ChatService(parts), "xyzzy", SearchOptions("lexical"))[-1]
    assert last.kind == "not_found"
    assert last.sources == ()
    assert "찾지 못했습니다" in last.answer


def test_a_follow_up_is_searched_with_what_it_goes_on_from_and_a_new_subject_is_not(parts):
    earlier = [Turn("병가 규정은 어떤가요?", "60일까지입니다.")]
    last = asked(ChatService(parts), "그럼 뭘 내야 해?", earlier=earlier)[-1]
    assert last.question == "그럼 뭘 내야 해?"
    assert "병가" in last.searched
    assert last.sources[0].title == "병가 규정"
    other = asked(ChatService(parts), "자전거는 배에 실을 수 있나요?", earlier=earlier)[-1]
    assert other.searched == other.question


def test_an_llm_answers_in_pieces_and_only_from_the_sources_it_was_given(parts):
    steps = asked(ChatService(parts, EchoingLLM()), SICK)
    assert steps[-1].kind == "generated"
    assert "병가는 60일입니다 [1]" in steps[-1].answer
    assert "[9]" not in steps[-1].answer
    assert any(step.answer == "병가는 60" for step in steps)


def test_where_the_llm_is_down_extracts_take_its_place_and_say_so(parts):
    last = asked(ChatService(parts, DeadLLM()), SICK)[-1]
    assert last.stage == "done"
    assert last.kind == "extracts"
    assert "60일까지" in last.answer


def test_more_questions_than_places_are_refused_kindly_and_a_place_that_is_left_is_free_again(parts):
    answerer = ChatService(parts, searches=1, places=2)

    async def crowd():
        async def one():
            return [step async for step in answerer.ask(SICK, SearchOptions())][-1]

        return await asyncio.gather(*(one() for _ in range(5)))

    last = asyncio.run(crowd())
    assert [step.stage for step in last].count("done") == 2
    refused = [step for step in last if step.stage == "refused"]
    assert len(refused) == 3
    assert all("잠시 뒤" in step.notice for step in refused)
    assert answerer.limiter.under_way == 0


def test_a_reader_who_leaves_gives_the_place_back(parts):
    answerer = ChatService(parts, searches=1, places=1)

    async def leave_then_ask():
        async with aclosing(answerer.ask(SICK, SearchOptions())) as steps:
            async for step in steps:
                if step.sources:
                    break
        return [step async for step in answerer.ask(SICK, SearchOptions())][-1]

    assert asyncio.run(leave_then_ask()).stage == "done"
    assert answerer.limiter.under_way == 0


@pytest.mark.parametrize(
    "switches", [{"legs": "hybird"}, {"reranker": "on"}, {"sources": 0}, {"sources": 11}, {"sources": 2.5}]
)
def test_switches_that_do_not_exist_are_refused(switches):
    with pytest.raises(InvalidSetting):
        SearchOptions(**switches)


def test_a_collection_without_a_reranker_refuses_the_switch(parts):
    from dataclasses import replace

    answerer = ChatService(replace(parts, rerankers={}))
    with pytest.raises(InvalidSetting, match="ranker"):
        asked(answerer, SICK, SearchOptions(reranker="ranker"))
    assert asked(answerer, SICK, SearchOptions(reranker="none"))[-1].stage == "done"


def test_parts_say_what_may_be_asked(parts):
    assert parts.passages == parts.documents == 5
    assert "병가 규정" in parts.titles
    assert parts.usual == SearchOptions("hybrid", "ranker", 5)
    warm_up(parts)


def test_no_collection_and_an_empty_one_are_errors_before_a_page_is_served(tmp_path):
    with pytest.raises(IndexNotFound):
        open_components(tmp_path)
    from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.ingest.sync import create_empty_index

    create_empty_index(index_folder(tmp_path), embed_model=KoreanEmbedding(), overwrite=False)
    write_settings(tmp_path, CollectionSettings("ko-static"))
    with pytest.raises(EmptyCorpus, match="no passages"):
        open_components(tmp_path)
