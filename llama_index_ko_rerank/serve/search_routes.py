"""`/search` over a collection."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import BaseModel, Field

from llama_index_ko_rerank.serve.errors import documented, refusal
from llama_index_ko_rerank.serve.middleware import get_context
from llama_index_ko_rerank.serve.models import SEARCH_CANDIDATES, SearchedCollection, Service
from llama_index_ko_rerank.serve.schemas import StrictBody
from llama_index_ko_rerank.text.normalize import check_query

SEARCH = "/search"


class SearchBody(StrictBody):
    """A question."""

    query: str = Field(min_length=1, description="The question.")
    top_n: int = Field(5, ge=1, le=SEARCH_CANDIDATES, description="How many passages come back at most.")
    rerank: bool = Field(True, description="Whether the collection's reranker reorders what was found.")


class FoundPassage(BaseModel):
    """A passage of the collection."""

    id: str
    score: float
    text: str
    metadata: dict[str, Any]


class SearchAnswer(BaseModel):
    """The passages, best first."""

    results: list[FoundPassage]


def search_routes(service: Service) -> APIRouter:
    """Make the route; without a collection it answers 404."""
    router = APIRouter(tags=["search"])
    responses = documented("detail", 400, 401, 404, 413, 422, 429, 500, 503)

    @router.post(SEARCH, response_model=SearchAnswer, responses=responses)
    async def search(request: Request, body: SearchBody) -> JSONResponse:
        """Find the passages of the collection that answer a question."""
        collection = service.models.collection
        if collection is None:
            raise refusal(404, "no collection is served; start with `ko-rerank serve DIR`")
        service.check_query(body.query)
        async with service.limiter.slot():
            found = await _search(collection, body)
        results = [_passage(node) for node in found]
        get_context(request).note(query=body.query, texts=[result["text"] for result in results])
        return JSONResponse({"results": results})

    return router


async def _search(collection: SearchedCollection, body: SearchBody) -> list[NodeWithScore]:
    question = check_query(body.query)
    found = await collection.retriever.aretrieve(QueryBundle(question))
    if body.rerank and collection.reranker is not None:
        found = await collection.reranker.apostprocess_nodes(found, QueryBundle(question))
    return found[: body.top_n]


def _passage(found: NodeWithScore) -> dict[str, Any]:
    return {
        "id": found.node.node_id,
        "score": found.score or 0.0,
        "text": found.node.get_content(metadata_mode=MetadataMode.NONE),
        "metadata": found.node.metadata,
    }
