"""A chat engine that answers in Korean from numbered sources, with or without an LLM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.callbacks import trace_method
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse
from llama_index.core.llms import LLM
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools import ToolOutput

from llama_index_ko_rerank.answer.condense import Condenser, StandaloneQuestion
from llama_index_ko_rerank.answer.extractive import SentenceScorer
from llama_index_ko_rerank.answer.query_engine import KoreanQueryEngine, build_query_engine, build_synthesizer
from llama_index_ko_rerank.answer.synthesis import SourcedSynthesizer
from llama_index_ko_rerank.text.normalize import check_query

_MEMORY_TOKENS = 1000


@dataclass
class StreamingChatAnswer(StreamingAgentChatResponse):
    """LlamaIndex's streamed chat response, with the metadata of the answer.

    Read ``response_gen`` or ``async_response_gen()`` once. ``source_nodes`` are there from the start; ``metadata`` is
    complete, and the turn is in the engine's memory, when the stream has ended or was closed.
    """

    metadata: dict[str, Any] = field(default_factory=dict)


class KoreanChatEngine(BaseChatEngine):
    """Chat engine with numbered sources; made by `build_chat_engine`.

    One engine holds one conversation, and takes one question at a time; `new_conversation` gives another with the same
    models. The conversation goes only into the standalone question: what the answer is written from is that question
    and its sources, so that a number means one source and an earlier answer is never taken for one.

    The metadata of an answer are those of the synthesizer, and ``question``, which was searched for. ``sources`` hold
    one `ToolOutput` with the nodes, as in LlamaIndex's own engines.
    """

    def __init__(
        self, query_engine: KoreanQueryEngine, streamer: SourcedSynthesizer, condenser: Condenser, memory: BaseMemory
    ) -> None:
        self._engine = query_engine
        self._streamer = streamer
        self._condenser = condenser
        self._memory = memory
        self.callback_manager = query_engine.callback_manager

    def new_conversation(self, memory: BaseMemory | None = None) -> KoreanChatEngine:
        """Return an engine with the same models and a memory of its own, by default an empty one."""
        limit = getattr(self._memory, "token_limit", _MEMORY_TOKENS)
        return KoreanChatEngine(
            self._engine, self._streamer, self._condenser, memory or ChatMemoryBuffer.from_defaults(token_limit=limit)
        )

    @property
    def chat_history(self) -> list[ChatMessage]:
        """Messages of the conversation so far."""
        return list(self._memory.get_all())

    def reset(self) -> None:
        """Forget the conversation."""
        self._memory.reset()

    @trace_method("chat")
    def chat(self, message: str, chat_history: list[ChatMessage] | None = None) -> AgentChatResponse:
        """Answer a question.

        Args:
            message: The question.
            chat_history: The messages before it, which replace those in the memory. Defaults to the memory.

        Raises:
            BlankQuery: The question is blank.
            InvalidText: The question or a text holds lone surrogates.
        """
        question = check_query(message)
        standalone = self._condenser.condense(question, self._history(question, chat_history))
        response = self._answer(self._engine.synthesizer, standalone)
        self._remember(question, str(response))
        return AgentChatResponse(str(response), **_shown(standalone, response))

    @trace_method("chat")
    def stream_chat(self, message: str, chat_history: list[ChatMessage] | None = None) -> StreamingChatAnswer:
        """Answer a question piece by piece; as `chat` otherwise."""
        question = check_query(message)
        standalone = self._condenser.condense(question, self._history(question, chat_history))
        response = self._answer(self._streamer, standalone)
        assert isinstance(response, StreamingResponse)

        def pieces() -> Iterator[ChatResponse]:
            answer = ""
            try:
                for piece in response.response_gen:
                    answer += piece
                    yield _piece(answer, piece)
            finally:
                self._remember(question, answer)

        return StreamingChatAnswer(
            chat_stream=pieces(),  # type: ignore[arg-type]  # LlamaIndex's alias asks for a Generator
            is_writing_to_memory=False,
            **_shown(standalone, response),
        )

    @trace_method("chat")
    async def achat(self, message: str, chat_history: list[ChatMessage] | None = None) -> AgentChatResponse:
        """Answer a question without blocking the event loop; as `chat` otherwise."""
        question = check_query(message)
        standalone = await self._condenser.acondense(question, await self._ahistory(question, chat_history))
        response = await self._aanswer(self._engine.synthesizer, standalone)
        await self._aremember(question, str(response))
        return AgentChatResponse(str(response), **_shown(standalone, response))

    @trace_method("chat")
    async def astream_chat(self, message: str, chat_history: list[ChatMessage] | None = None) -> StreamingChatAnswer:
        """Answer a question piece by piece without blocking the event loop; as `chat` otherwise."""
        question = check_query(message)
        standalone = await self._condenser.acondense(question, await self._ahistory(question, chat_history))
        response = await self._aanswer(self._streamer, standalone)
        assert isinstance(response, AsyncStreamingResponse)

        async def pieces() -> AsyncIterator[ChatResponse]:
            answer = ""
            try:
                async for piece in response.async_response_gen():
                    answer += piece
                    yield _piece(answer, piece)
            finally:
                await self._aremember(question, answer)

        return StreamingChatAnswer(
            achat_stream=pieces(),  # type: ignore[arg-type]  # LlamaIndex's alias asks for an AsyncGenerator
            is_writing_to_memory=False,
            **_shown(standalone, response),
        )

    def _answer(self, synthesizer: SourcedSynthesizer, standalone: StandaloneQuestion) -> Any:
        candidates, nodes = self._engine.retrieve_with_candidates(standalone.text)
        return synthesizer.synthesize(standalone.text, nodes, candidates=candidates, llm_error=standalone.llm_error)

    async def _aanswer(self, synthesizer: SourcedSynthesizer, standalone: StandaloneQuestion) -> Any:
        candidates, nodes = await self._engine.aretrieve_with_candidates(standalone.text)
        return await synthesizer.asynthesize(
            standalone.text, nodes, candidates=candidates, llm_error=standalone.llm_error
        )

    def _history(self, message: str, given: Sequence[ChatMessage] | None) -> list[ChatMessage]:
        if given is not None:
            self._memory.set(list(given))
        return list(self._memory.get(input=message))

    async def _ahistory(self, message: str, given: Sequence[ChatMessage] | None) -> list[ChatMessage]:
        if given is not None:
            await self._memory.aset(list(given))
        return list(await self._memory.aget(input=message))

    def _remember(self, question: str, answer: str) -> None:
        for turn in _turns(question, answer):
            self._memory.put(turn)

    async def _aremember(self, question: str, answer: str) -> None:
        for turn in _turns(question, answer):
            await self._memory.aput(turn)


def build_chat_engine(
    source: VectorStoreIndex | BaseRetriever,
    *,
    reranker: BaseNodePostprocessor | None = None,
    llm: LLM | None = None,
    similarity_top_k: int = 30,
    top_n: int = 5,
    sentences: int = 3,
    scorer: SentenceScorer | None = None,
    memory: BaseMemory | None = None,
    callback_manager: CallbackManager | None = None,
) -> KoreanChatEngine:
    """Build an engine that holds a conversation in Korean over numbered sources.

    It answers as the engine of `build_query_engine` does: citations are checked and those of sources that were not
    given are removed and reported; where nothing is found, or no node passes the reranker's threshold, it says so and
    names the nearest titles; where the LLM fails, extracts stand in its place and say so. ``Settings.llm`` is never
    used.

    Args:
        source: The index or retriever that candidates come from; of a collection take `Collection.chat_engine`.
        reranker: Reorders the candidates and may drop some, such as a `CrossEncoderNodePostprocessor` with a
            ``score_threshold``. Defaults to none.
        llm: Makes questions stand alone and writes the answers. Without one, `rewrite_by_rule` does the first, and
            answers are sentences copied from the sources.
        similarity_top_k: How many candidates an index gives; a retriever has a number of its own.
        top_n: How many nodes an answer is made from at most.
        sentences: How many sentences an answer has at most where there is no LLM.
        scorer: Scores those sentences in place of their overlap with the question.
        memory: Memory of the conversation. Defaults to one of 1,000 tokens.
        callback_manager: LlamaIndex's callbacks.

    Raises:
        InvalidSetting: As of `build_query_engine`.
    """
    engine = build_query_engine(
        source,
        reranker=reranker,
        llm=llm,
        similarity_top_k=similarity_top_k,
        top_n=top_n,
        sentences=sentences,
        scorer=scorer,
        callback_manager=callback_manager,
    )
    streamer = build_synthesizer(
        llm, sentences=sentences, scorer=scorer, streaming=True, callback_manager=callback_manager
    )
    return KoreanChatEngine(
        engine, streamer, Condenser(llm), memory or ChatMemoryBuffer.from_defaults(token_limit=_MEMORY_TOKENS)
    )


def _shown(standalone: StandaloneQuestion, response: Any) -> dict[str, Any]:
    """Return the fields that every kind of chat response has; the metadata stay the synthesizer's own dictionary."""
    nodes: list[NodeWithScore] = response.source_nodes
    response.metadata["question"] = standalone.text
    found = ToolOutput(tool_name="retriever", content="", raw_input={"message": standalone.text}, raw_output=nodes)
    return {"sources": [found], "source_nodes": nodes, "metadata": response.metadata}


def _piece(answer: str, piece: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=answer), delta=piece)


def _turns(question: str, answer: str) -> tuple[ChatMessage, ChatMessage]:
    return (
        ChatMessage(role=MessageRole.USER, content=question),
        ChatMessage(role=MessageRole.ASSISTANT, content=answer.strip()),
    )
