"""What LlamaIndex is told of a reranking."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llama_index_ko_rerank.errors import InvalidSetting

dispatcher = get_dispatcher(__name__)


@contextmanager
def announced(
    nodes: Sequence[NodeWithScore],
    query_bundle: QueryBundle | None,
    *,
    query: str,
    top_n: int,
    model_name: str,
    callbacks: CallbackManager,
) -> Iterator[list[NodeWithScore]]:
    """Tell the dispatcher and the callbacks that nodes are reranked, and when the block ends, with which result.

    Args:
        nodes: The candidates.
        query_bundle: The question as it was asked.
        query: The question as it is used.
        top_n: How many are wanted.
        model_name: By what they are judged.
        callbacks: The callbacks of the postprocessor.

    Yields:
        A list for the block to put its result into. Where the block raises, no end is told to the dispatcher.
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


class Notices:
    """Logs each kind of message as a warning the first time, and at INFO after that.

    Args:
        logger: Where the messages go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: set[str] = set()

    def tell(self, message: str, *values: object) -> None:
        """Log a message; its kind is the text before the values are filled in."""
        self._logger.log(logging.INFO if message in self._told else logging.WARNING, message, *values)
        self._told.add(message)
