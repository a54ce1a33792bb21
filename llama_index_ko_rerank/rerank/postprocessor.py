"""What the node postprocessors share: checks, events, and errors of one line."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.normalize import check_query

dispatcher = get_dispatcher(__name__)


class RerankingPostprocessor(BaseNodePostprocessor):
    """Node postprocessor that checks the query, and reports start and end of each reranking to LlamaIndex.

    Raises:
        InvalidSetting: A field is out of range; on construction.
        BlankQuery: A question is missing or blank; on use.
        InvalidText: A question holds lone surrogates; on use.
    """

    top_n: int

    def __init__(self, **settings: Any) -> None:
        settings["callback_manager"] = settings.get("callback_manager") or CallbackManager()
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise to_invalid_setting(error) from error

    @abstractmethod
    def _model_name(self) -> str:
        """Return the model's name for the events; raise what keeps the model from being used."""

    @abstractmethod
    def _rerank(self, query: str, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        """Return the best of some nodes, of which there is one or more, as new objects."""

    async def _arerank(self, query: str, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._rerank, query, nodes)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, found):
            found += self._rerank(query, nodes) if nodes else []
        return found

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, found):
            found += await self._arerank(query, nodes) if nodes else []
        return found

    @contextmanager
    def _events(
        self, nodes: Sequence[NodeWithScore], query_bundle: QueryBundle | None
    ) -> Iterator[tuple[str, list[NodeWithScore]]]:
        """Yield the checked query and a list for the result; with no nodes there is nothing to report."""
        query = check_query(query_bundle.query_str if query_bundle else None)
        if not nodes:
            yield query, []
            return
        with rerank_events(
            nodes,
            query_bundle,
            query=query,
            top_n=self.top_n,
            model_name=self._model_name(),
            callbacks=self.callback_manager,
        ) as found:
            yield query, found


@contextmanager
def rerank_events(
    nodes: Sequence[NodeWithScore],
    query_bundle: QueryBundle | None,
    *,
    query: str,
    top_n: int,
    model_name: str,
    callbacks: CallbackManager,
) -> Iterator[list[NodeWithScore]]:
    """Events of one reranking, for the dispatcher and the callbacks: a start, and an end with the block's result.

    Args:
        nodes: The candidates.
        query_bundle: The question as LlamaIndex passed it.
        query: The question in its normal form.
        top_n: How many nodes are returned at most.
        model_name: Name of the reranker.
        callbacks: The callbacks of the postprocessor.

    Yields:
        A list for the block to put its result into. Where the block raises, the dispatcher gets no end.
    """
    found: list[NodeWithScore] = []
    dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=list(nodes), top_n=top_n, model_name=model_name))
    payload: dict[str, Any] = {
        EventPayload.NODES: nodes,
        EventPayload.MODEL_NAME: model_name,
        EventPayload.QUERY_STR: query,
        EventPayload.TOP_K: top_n,
    }
    with callbacks.event(CBEventType.RERANKING, payload=payload) as event:
        yield found
        event.on_end(payload={EventPayload.NODES: found})
    dispatcher.event(ReRankEndEvent(nodes=found))


def to_invalid_setting(error: ValidationError) -> InvalidSetting:
    """Turn a failed validation into an error of one line."""
    first = error.errors()[0]
    return InvalidSetting(f"{'.'.join(str(part) for part in first['loc'])}={first['input']!r}: {first['msg']}")
