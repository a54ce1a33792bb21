"""Query engines that answer in Korean from numbered sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.llms import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llama_index_ko_rerank.answer.extractive import ExtractiveSynthesizer, SentenceScorer
from llama_index_ko_rerank.answer.generative import NumberedSourcesSynthesizer
from llama_index_ko_rerank.answer.synthesis import SourcedSynthesizer
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.normalize import check_query

dispatcher = get_dispatcher(__name__)


class KoreanQueryEngine(RetrieverQueryEngine):
    """Retrieves, postprocesses, keeps the first `top_n` nodes, and answers with numbered sources.

    A question is brought to one normal form before anything sees it. Where nothing is found, or no node is left after
    the postprocessors, the answer says so and names the nearest titles; no LLM is asked. Use `build_query_engine`.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        response_synthesizer: SourcedSynthesizer,
        *,
        node_postprocessors: Sequence[BaseNodePostprocessor] = (),
        top_n: int = 5,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        _at_least_one("top_n", top_n)
        super().__init__(retriever, response_synthesizer, list(node_postprocessors), callback_manager)
        self.top_n = top_n
        self._synthesizer = response_synthesizer

    def with_retriever(self, retriever: BaseRetriever) -> KoreanQueryEngine:
        """Return an engine that differs in its retriever only."""
        return KoreanQueryEngine(
            retriever,
            self._synthesizer,
            node_postprocessors=self._node_postprocessors,
            top_n=self.top_n,
            callback_manager=self.callback_manager,
        )

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Return the nodes that a question is answered from, the best first.

        Raises:
            BlankQuery: The question is blank.
        """
        return self._kept(_normalized(query_bundle))[1]

    async def aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Return the nodes that a question is answered from; as `retrieve`."""
        return (await self._akept(_normalized(query_bundle)))[1]

    @property
    def synthesizer(self) -> SourcedSynthesizer:
        """What writes the answers."""
        return self._synthesizer

    def retrieve_with_candidates(self, question: str) -> tuple[list[NodeWithScore], list[NodeWithScore]]:
        """Return what was found for a question, and what of it is answered from, each the best first.

        Raises:
            BlankQuery: The question is blank.
        """
        return self._kept(_normalized(QueryBundle(question)))

    async def aretrieve_with_candidates(self, question: str) -> tuple[list[NodeWithScore], list[NodeWithScore]]:
        """Return what was found for a question, and what of it is answered from; as `retrieve_with_candidates`."""
        return await self._akept(_normalized(QueryBundle(question)))

    def _kept(self, query_bundle: QueryBundle) -> tuple[list[NodeWithScore], list[NodeWithScore]]:
        candidates = self._retriever.retrieve(query_bundle)
        nodes = self._apply_node_postprocessors(candidates, query_bundle) if candidates else []
        return candidates, nodes[: self.top_n]

    async def _akept(self, query_bundle: QueryBundle) -> tuple[list[NodeWithScore], list[NodeWithScore]]:
        candidates = await _aretrieved(self._retriever, query_bundle)
        nodes = await self._async_apply_node_postprocessors(candidates, query_bundle) if candidates else []
        return candidates, nodes[: self.top_n]

    @dispatcher.span
    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        query_bundle = _normalized(query_bundle)
        with self.callback_manager.event(CBEventType.QUERY, payload=_payload(query_bundle)) as event:
            candidates, nodes = self._kept(query_bundle)
            response = self._synthesizer.synthesize(query_bundle, nodes, candidates=candidates)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    @dispatcher.span
    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        query_bundle = _normalized(query_bundle)
        with self.callback_manager.event(CBEventType.QUERY, payload=_payload(query_bundle)) as event:
            candidates, nodes = await self._akept(query_bundle)
            response = await self._synthesizer.asynthesize(query_bundle, nodes, candidates=candidates)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response


def build_query_engine(
    source: VectorStoreIndex | BaseRetriever,
    *,
    reranker: BaseNodePostprocessor | None = None,
    llm: LLM | None = None,
    similarity_top_k: int = 30,
    top_n: int = 5,
    sentences: int = 3,
    scorer: SentenceScorer | None = None,
    streaming: bool = False,
    callback_manager: CallbackManager | None = None,
) -> KoreanQueryEngine:
    """Build an engine that answers Korean questions with numbered sources.

    With an LLM the answer is its own, with citations such as [1], which are checked; where the LLM fails, extracts
    stand in its place and say so (see `NumberedSourcesSynthesizer`). Without one the answer is made of sentences copied
    from the sources. ``Settings.llm`` is never used.

    Args:
        source: The index or retriever that candidates come from; of a collection take `Collection.query_engine`.
        reranker: Reorders the candidates and may drop some; any LlamaIndex node postprocessor. Defaults to none.
        llm: Writes the answer; None copies sentences.
        similarity_top_k: How many candidates an index gives; a retriever has a number of its own.
        top_n: How many nodes an answer is made from at most.
        sentences: How many sentences an answer has at most where there is no LLM.
        scorer: Scores those sentences in place of their overlap with the question.
        streaming: Whether responses stream.
        callback_manager: LlamaIndex's callbacks.

    Returns:
        The engine; number n in an answer is ``response.source_nodes[n - 1]``.

    Raises:
        InvalidSetting: A number is under 1, or `source` is neither.
    """
    _at_least_one("similarity_top_k", similarity_top_k)
    _at_least_one("top_n", top_n)
    synthesizer = build_synthesizer(
        llm, sentences=sentences, scorer=scorer, streaming=streaming, callback_manager=callback_manager
    )
    return KoreanQueryEngine(
        _retriever(source, similarity_top_k),
        synthesizer,
        node_postprocessors=[reranker] if reranker else [],
        top_n=top_n,
        callback_manager=callback_manager,
    )


def build_synthesizer(
    llm: LLM | None,
    *,
    sentences: int,
    scorer: SentenceScorer | None,
    streaming: bool,
    callback_manager: CallbackManager | None,
) -> SourcedSynthesizer:
    """Make what writes answers: an LLM from numbered sources, or extracts where there is none."""
    if llm is None:
        return ExtractiveSynthesizer(sentences, scorer, streaming=streaming, callback_manager=callback_manager)
    return NumberedSourcesSynthesizer(llm, streaming=streaming, callback_manager=callback_manager)


def _retriever(source: VectorStoreIndex | BaseRetriever, similarity_top_k: int) -> BaseRetriever:
    if isinstance(source, BaseRetriever):
        return source
    if isinstance(source, VectorStoreIndex):
        return source.as_retriever(similarity_top_k=similarity_top_k)
    raise InvalidSetting(
        f"an engine needs a VectorStoreIndex or a retriever, not {type(source).__name__}; "
        "Collection.open(path).query_engine() makes one over a collection"
    )


async def _aretrieved(retriever: BaseRetriever, query_bundle: QueryBundle) -> list[NodeWithScore]:
    """Retrieve beside the event loop, in a thread where a retriever has no asynchronous way of its own."""
    if type(retriever)._aretrieve is BaseRetriever._aretrieve:
        return await asyncio.to_thread(retriever.retrieve, query_bundle)
    return await retriever.aretrieve(query_bundle)


def _normalized(query_bundle: QueryBundle) -> QueryBundle:
    """Copy a question in its normal form, so that no retriever's vector stays on the caller's."""
    return replace(query_bundle, query_str=check_query(query_bundle.query_str))


def _payload(query_bundle: QueryBundle) -> dict[str, Any]:
    return {EventPayload.QUERY_STR: query_bundle.query_str}


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise InvalidSetting(f"{name} must be 1 or more, not {value}")
