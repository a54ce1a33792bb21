"""`/health` for load balancers and `/metrics` for Prometheus."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from llama_index_ko_rerank.serve.errors import Failure
from llama_index_ko_rerank.serve.metrics import CONTENT_TYPE_LATEST
from llama_index_ko_rerank.serve.middleware import HEALTH, METRICS, stated_key
from llama_index_ko_rerank.serve.models import Service

# Said in full, since FastAPI would state it in the type of the route's other answers.
_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {
        "description": "The API key is missing or wrong.",
        "content": {"application/json": {"schema": Failure.model_json_schema()}},
    }
}


class Health(BaseModel):
    """Whether requests are let in, and by what models they are answered."""

    status: Literal["ok", "stopping"]
    rerank_model: str
    embed_model: str
    collection: bool


def health_routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["watch"])
    models = service.models

    @router.get(HEALTH, response_model=Health, responses={503: {"model": Health, "description": "The service stops."}})
    async def health() -> JSONResponse:
        """Say whether requests are let in: 200, or 503 from the moment that the service stops."""
        closing = service.limiter.closing
        content = {
            "status": "stopping" if closing else "ok",
            "rerank_model": models.rerank_name,
            "embed_model": models.embed_name,
            "collection": models.collection is not None,
        }
        return JSONResponse(content, 503 if closing else 200)

    key = stated_key(service.settings)

    @router.get(METRICS, response_class=PlainTextResponse, responses=_REFUSED, dependencies=key)
    async def metrics() -> PlainTextResponse:
        """Return the service's figures in Prometheus's text format."""
        return PlainTextResponse(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
