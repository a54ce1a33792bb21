"""Response synthesizer with numbered sources, the base of the extractive and the generative one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.synthesis import SynthesizeEndEvent, SynthesizeStartEvent
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryType, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index_instrumentation import get_dispatcher

from llama_index_ko_rerank.answer.prompts import not_found_text
from llama_index_ko_rerank.text.normalize import check_query, normalize

dispatcher = get_dispatcher(__name__)
NEAREST_TITLES = 3
_TITLE_KEYS = ("title", "file_name")
_MAX_TITLE = 80
_MAX_OPENING = 30
_UNTITLED = "제목 없음"

TextStream = Generator[str, None, None]
AsyncTextStream = AsyncGenerator[str, None]


@dataclass(frozen=True, slots=True)
class Draft:
    """Draft of an answer, before it becomes one of LlamaIndex's response objects.

    Attributes:
        answer: The whole text, its parts, or the LLM's stream.
        sources: The nodes that the numbers in the answer point to, in the order of the numbers.
        metadata: Metadata of the answer, in JSON types.
    """

    answer: str | list[str] | TextStream | AsyncTextStream
    sources: list[NodeWithScore]
    metadata: dict[str, Any]


class SourcedSynthesizer(BaseSynthesizer):
    """Response synthesizer that numbers its sources; number n in the answer is ``response.source_nodes[n - 1]``.

    The metadata of a response are JSON: ``kind`` (``generated``, ``extracts`` or ``not_found``) and ``sources``, with
    the ``number``, ``node_id``, ``title`` and ``score`` of each; more by kind.
    """

    @dispatcher.span
    def synthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        candidates: Sequence[NodeWithScore] = (),
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """Answer a question from nodes.

        Args:
            query: The question.
            nodes: The sources, the best first.
            additional_source_nodes: Nodes that are listed after the sources, as LlamaIndex's engines pass them.
            candidates: The nodes before a postprocessor cut them down to `nodes`; where none is left, the answer names
                the titles of the nearest.
            **response_kwargs: Variables of the LLM's prompt.

        Raises:
            BlankQuery: The question is blank.
            InvalidText: The question or a text holds lone surrogates.
        """
        question = _question(query)
        dispatcher.event(SynthesizeStartEvent(query=query))
        with self._callback_manager.event(CBEventType.SYNTHESIZE, payload={EventPayload.QUERY_STR: question}) as event:
            draft = self._draft(question, nodes, **response_kwargs) if nodes else not_found(candidates)
            response = self._response(draft, additional_source_nodes or ())
            event.on_end(payload={EventPayload.RESPONSE: response})
        dispatcher.event(SynthesizeEndEvent(query=query, response=response))
        return response

    @dispatcher.span
    async def asynthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        candidates: Sequence[NodeWithScore] = (),
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """Answer a question from nodes without blocking the event loop; as `synthesize` otherwise."""
        question = _question(query)
        dispatcher.event(SynthesizeStartEvent(query=query))
        with self._callback_manager.event(CBEventType.SYNTHESIZE, payload={EventPayload.QUERY_STR: question}) as event:
            draft = await self._adraft(question, nodes, **response_kwargs) if nodes else not_found(candidates)
            response = self._response(draft, additional_source_nodes or (), asynchronous=True)
            event.on_end(payload={EventPayload.RESPONSE: response})
        dispatcher.event(SynthesizeEndEvent(query=query, response=response))
        return response

    def get_response(self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any) -> RESPONSE_TEXT_TYPE:
        """Answer a question from texts, numbered in their order; as `synthesize` otherwise."""
        nodes = _nodes(text_chunks)
        draft = self._draft(check_query(query_str), nodes, **response_kwargs) if nodes else not_found(())
        return _text(draft)

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """Answer a question from texts, numbered in their order; as `asynthesize` otherwise."""
        nodes = _nodes(text_chunks)
        draft = await self._adraft(check_query(query_str), nodes, **response_kwargs) if nodes else not_found(())
        return _text(draft)

    @abstractmethod
    def _draft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft: ...

    @abstractmethod
    async def _adraft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft: ...

    def _response(
        self, draft: Draft, additional: Iterable[NodeWithScore], *, asynchronous: bool = False
    ) -> RESPONSE_TYPE:
        sources = [*draft.sources, *additional]
        answer = draft.answer
        if isinstance(answer, AsyncGenerator):
            return AsyncStreamingResponse(answer, source_nodes=sources, metadata=draft.metadata)
        if isinstance(answer, Generator):
            return StreamingResponse(answer, source_nodes=sources, metadata=draft.metadata)
        parts = [answer] if isinstance(answer, str) else answer
        if not self._streaming:
            return Response("".join(parts), source_nodes=sources, metadata=draft.metadata)
        if asynchronous:
            return AsyncStreamingResponse(_astream(parts), source_nodes=sources, metadata=draft.metadata)
        return StreamingResponse(_stream(parts), source_nodes=sources, metadata=draft.metadata)


def not_found(candidates: Sequence[NodeWithScore]) -> Draft:
    """Answer that nothing was found, with the titles of the nearest candidates."""
    titles = distinct_titles(candidates, limit=NEAREST_TITLES)
    return Draft(not_found_text(titles), [], {"kind": "not_found", "sources": [], "nearest_titles": titles})


def sources_metadata(kind: str, sources: Sequence[NodeWithScore], **more: Any) -> dict[str, Any]:
    """Return the metadata of an answer that has sources."""
    return {"kind": kind, "sources": source_records(sources), **more}


def source_title(node: BaseNode) -> str:
    """Return the title of a source in one line: its title, its file name, or the beginning of its text.

    The first of the metadata ``title`` and ``file_name`` that is not blank; otherwise the first 30 characters of the
    text. What is longer (80 characters in a title) ends in an ellipsis.

    Raises:
        InvalidText: The title holds lone surrogates.
    """
    for key in _TITLE_KEYS:
        title = _one_line(str(node.metadata.get(key) or ""), _MAX_TITLE)
        if title:
            return title
    return _one_line(node.get_content(metadata_mode=MetadataMode.NONE), _MAX_OPENING) or _UNTITLED


def source_records(nodes: Sequence[NodeWithScore]) -> list[dict[str, Any]]:
    """Describe numbered sources in JSON types: number from 1, node id, title and score."""
    return [
        {
            "number": number,
            "node_id": found.node.node_id,
            "title": source_title(found.node),
            "score": None if found.score is None else float(found.score),
        }
        for number, found in enumerate(nodes, start=1)
    ]


def distinct_titles(nodes: Sequence[NodeWithScore], *, limit: int) -> list[str]:
    """Return the titles of the first nodes in their order, each once, `limit` at most."""
    return list(dict.fromkeys(source_title(found.node) for found in nodes))[:limit]


def _question(query: QueryType) -> str:
    return check_query(query if isinstance(query, str) else query.query_str)


def _nodes(texts: Sequence[str]) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text)) for text in texts]


def _text(draft: Draft) -> RESPONSE_TEXT_TYPE:
    return "".join(draft.answer) if isinstance(draft.answer, list) else draft.answer


def _stream(parts: Iterable[str]) -> TextStream:
    yield from parts


async def _astream(parts: Iterable[str]) -> AsyncTextStream:
    for part in parts:
        yield part


def _one_line(text: str, longest: int) -> str:
    line = " ".join(normalize(text).split())
    return line if len(line) <= longest else f"{line[:longest].rstrip()}…"
