"""From a question and the switches to what the page shows, step by step; no gradio and no HTML here."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.llms import LLM
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index_ko_rerank.answer.condense import Condenser, StandaloneQuestion
from llama_index_ko_rerank.answer.extractive import ExtractiveSynthesizer
from llama_index_ko_rerank.answer.generative import NumberedSourcesSynthesizer
from llama_index_ko_rerank.answer.synthesis import SourcedSynthesizer
from llama_index_ko_rerank.app.components import SearchComponents, SearchOptions
from llama_index_ko_rerank.app.source_view import Outranked, SourceView, outranked, view_sources
from llama_index_ko_rerank.errors import BlankQuery, InvalidText, KoRerankError
from llama_index_ko_rerank.limits import ConcurrencyLimiter, Overloaded
from llama_index_ko_rerank.text.normalize import check_query

LONGEST_QUESTION = 500
PLACES = 64

Stage = Literal["searching", "answering", "done", "refused"]

_BLANK = "질문을 적어 주세요."
_TOO_LONG = f"질문이 너무 깁니다. {LONGEST_QUESTION}자까지 물을 수 있습니다."
_BUSY = "지금 질문이 몰려 있습니다. 잠시 뒤에 다시 물어봐 주세요."
_UNREADABLE = "질문에 읽을 수 없는 글자가 있습니다. 지우고 다시 물어봐 주세요."
_FAILED = "답을 만들다가 문제가 생겼습니다: {error}"


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long each stage took, in milliseconds; None for one that has not ended or did not take place.

    Attributes:
        waited_ms: Until it was this question's turn to search.
        retrieve_ms: Finding candidates.
        rerank_ms: Reordering them.
        answer_ms: Writing the answer, until its end.
        total_ms: From asking to the end of the answer, with what lies between the stages.
    """

    waited_ms: float | None = None
    retrieve_ms: float | None = None
    rerank_ms: float | None = None
    answer_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a conversation and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class ViewState:
    """What the page shows at one moment.

    Attributes:
        question: What was asked.
        searched: What was searched for: the question, or what it means after those before it.
        switches: How it was searched.
        stage: ``searching``, ``answering`` while the text grows, then ``done``; or ``refused``, with a notice.
        answer: The answer so far.
        kind: ``extracts``, ``generated`` or ``not_found`` once known.
        citable: How many sources the answer was given; a citation above that is not a source.
        sources: The sources once found, in the order of their numbers.
        outranked: What the reranker pushed out of the sources.
        times: What each stage took.
        notice: What the person should know, in Korean.
    """

    question: str
    switches: SearchOptions
    stage: Stage = "searching"
    searched: str = ""
    answer: str = ""
    kind: str | None = None
    citable: int = 0
    sources: tuple[SourceView, ...] = ()
    outranked: tuple[Outranked, ...] = ()
    times: StageTimes = field(default_factory=StageTimes)
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    candidates: list[NodeWithScore]
    ordered: list[NodeWithScore]
    retrieve_ms: float
    rerank_ms: float | None


class ChatService:
    """Answers questions about one collection; one for all people, with no memory of what they asked.

    Args:
        parts: The collection.
        llm: Writes the answers; None copies sentences.
        searches: How many questions are searched at once; the processors' number where None.
        places: How many questions are answered at all at one time.
    """

    def __init__(
        self, parts: SearchComponents, llm: LLM | None = None, *, searches: int | None = None, places: int = PLACES
    ) -> None:
        self.parts = parts
        self.limiter = ConcurrencyLimiter(max_concurrent=searches or os.cpu_count() or 1, max_admitted=places)
        self._copies = llm is None
        self._condenser = Condenser(llm)
        self._synthesizer: SourcedSynthesizer = (
            ExtractiveSynthesizer(streaming=True) if llm is None else NumberedSourcesSynthesizer(llm, streaming=True)
        )

    async def ask(
        self, question: str | None, switches: SearchOptions, earlier: Sequence[Turn] = ()
    ) -> AsyncGenerator[ViewState, None]:
        """Answer a question, yielding what is known at each step; the last snapshot is ``done`` or ``refused``.

        A question that goes on from `earlier` ones is made to stand alone before it is searched for.

        A question that is blank or too long, or for which there is no place, is refused in a Korean notice and not by
        an error, and so is one that the models or the index fail on.

        Raises:
            InvalidSetting: The switches ask for what this collection does not have.
        """
        self.parts.check(switches)
        refusal = refusal_of(question)
        if refusal:
            yield ViewState("", switches, "refused", notice=refusal)
            return
        asked = ViewState(check_query(question), switches)
        try:
            with self.limiter.admit():
                async with aclosing(self._answered(asked, earlier)) as steps:
                    async for asked in steps:
                        yield asked
        except Overloaded:
            yield replace(asked, stage="refused", notice=_BUSY)
        except KoRerankError as error:
            yield replace(asked, stage="refused", notice=_FAILED.format(error=error))

    async def _answered(self, asked: ViewState, earlier: Sequence[Turn]) -> AsyncGenerator[ViewState, None]:
        yield asked
        started = time.perf_counter()
        meant = await self._condenser.acondense(asked.question, _messages(earlier))
        asked = replace(asked, searched=meant.text)
        waiting = time.perf_counter()
        async with self.limiter.slot():
            waited_ms = _since(waiting)
            found = await self._search(asked)
            shown = await asyncio.to_thread(self._shown, asked, found)
            times = StageTimes(waited_ms, found.retrieve_ms, found.rerank_ms)
            shown = replace(shown, times=times)
            yield shown
            began = time.perf_counter()
            response = await self._response(shown, found, meant) if self._copies else None
        response = response or await self._response(shown, found, meant)
        async with aclosing(_streamed(shown, response)) as steps:
            async for shown in steps:
                yield shown
        times = replace(times, answer_ms=_since(began), total_ms=_since(started))
        yield replace(shown, stage="done", times=times)

    async def _search(self, asked: ViewState) -> _Found:
        question = QueryBundle(asked.searched)
        began = time.perf_counter()
        candidates = await self.parts.retrievers[asked.switches.legs].aretrieve(question)
        retrieve_ms = _since(began)
        if asked.switches.reranker == "none" or not candidates:
            return _Found(candidates, candidates, retrieve_ms, None)
        began = time.perf_counter()
        reranker = self.parts.rerankers[asked.switches.reranker]
        ordered = await reranker.apostprocess_nodes(candidates, query_bundle=question)
        return _Found(candidates, ordered, retrieve_ms, _since(began))

    def _shown(self, asked: ViewState, found: _Found) -> ViewState:
        sources = asked.switches.sources
        views = view_sources(
            asked.searched,
            found.candidates,
            found.ordered,
            sources=sources,
            lexical_index=self.parts.lexical_index,
            reranked=found.rerank_ms is not None,
        )
        pushed = outranked(found.candidates, found.ordered, sources=sources)
        return replace(asked, stage="answering", sources=tuple(views), outranked=tuple(pushed))

    async def _response(self, shown: ViewState, found: _Found, meant: StandaloneQuestion) -> AsyncStreamingResponse:
        nodes = found.ordered[: shown.switches.sources]
        response = await self._synthesizer.asynthesize(
            QueryBundle(meant.text), nodes, candidates=found.candidates, llm_error=meant.llm_error
        )
        assert isinstance(response, AsyncStreamingResponse)  # the synthesizer was made to stream
        return response


def refusal_of(question: str | None) -> str | None:
    """Say in Korean why a question cannot be asked, None where it can."""
    if question is not None and len(question) > LONGEST_QUESTION:
        return _TOO_LONG
    try:
        check_query(question)
    except BlankQuery:
        return _BLANK
    except InvalidText:
        return _UNREADABLE
    return None


async def _streamed(shown: ViewState, response: AsyncStreamingResponse) -> AsyncGenerator[ViewState, None]:
    metadata = response.metadata or {}
    shown = replace(shown, kind=metadata.get("kind"), citable=len(metadata.get("sources", ())))
    parts: list[str] = []
    async for part in response.async_response_gen():
        parts.append(part)
        yield replace(shown, answer="".join(parts))
    yield replace(shown, answer="".join(parts), kind=metadata.get("kind"))  # extracts, where the LLM failed on the way


def _messages(turns: Sequence[Turn]) -> list[ChatMessage]:
    said = ((MessageRole.USER, "question"), (MessageRole.ASSISTANT, "answer"))
    return [ChatMessage(role=role, content=getattr(turn, part)) for turn in turns for role, part in said]


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
