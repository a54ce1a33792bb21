"""The application: models, routes and middleware, put together."""

from __future__ import annotations

import logging
from importlib.metadata import version

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from llama_index_ko_rerank.errors import KoRerankError
from llama_index_ko_rerank.limits import ConcurrencyLimiter, LimitReached
from llama_index_ko_rerank.serve.embedding_routes import EMBEDDINGS, embedding_routes
from llama_index_ko_rerank.serve.errors import error_response, invalid_fields, refusal_of, unexpected
from llama_index_ko_rerank.serve.health_routes import health_routes
from llama_index_ko_rerank.serve.metrics import Metrics
from llama_index_ko_rerank.serve.middleware import HEALTH, METRICS, RequestMiddleware, get_context, stated_key
from llama_index_ko_rerank.serve.models import Models, Service, load_models
from llama_index_ko_rerank.serve.rerank_routes import COHERE_PATHS, RERANK, rerank_routes
from llama_index_ko_rerank.serve.search_routes import SEARCH, search_routes
from llama_index_ko_rerank.serve.settings import ServerSettings

logger = logging.getLogger(__name__)

_PATHS = frozenset({RERANK, *COHERE_PATHS, EMBEDDINGS, SEARCH, HEALTH, METRICS})


def create_app(settings: ServerSettings | None = None) -> FastAPI:
    """Load the models and make the service, for any ASGI server.

    ``app.state.limiter.close()`` makes it refuse new requests with 503, which `run_server` does on SIGTERM. Every
    process loads the models for itself; workers must not be forked after that.

    Args:
        settings: What to serve; the models in the wheel and the usual limits where None.

    Raises:
        IndexNotFound: The folder is no collection.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: A model cannot do what it is named for.
        ModelMismatch: The collection was built with another model than it remembers.
    """
    settings = settings or ServerSettings()
    return app_of(settings, load_models(settings))


def app_of(settings: ServerSettings, models: Models) -> FastAPI:
    """Make the service of models that are loaded already."""
    limiter = ConcurrencyLimiter(
        max_concurrent=settings.max_concurrent,
        max_admitted=settings.max_concurrent + settings.max_waiting,
        max_wait_s=settings.max_wait_s,
    )
    service = Service(settings, models, limiter, Metrics(limiter, _PATHS))
    app = FastAPI(
        title="llama-index-ko-rerank",
        summary="Korean reranking, embeddings and search.",
        version=version("llama-index-ko-rerank"),
        docs_url=None,
        redoc_url=None,
    )
    app.state.limiter = limiter
    key = stated_key(settings)
    app.include_router(rerank_routes(service), dependencies=key)
    app.include_router(embedding_routes(service), dependencies=key)
    app.include_router(search_routes(service), dependencies=key)
    app.include_router(health_routes(service))
    _answer_failures(app)
    app.add_middleware(RequestMiddleware, settings=settings, limiter=limiter, metrics=service.metrics)
    return app


def _answer_failures(app: FastAPI) -> None:
    """Give every failure the shape that the clients of its path expect."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, problem: HTTPException) -> JSONResponse:
        return error_response(request.url.path, problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> JSONResponse:
        return error_response(request.url.path, invalid_fields(problem.errors()))

    @app.exception_handler(LimitReached)
    async def busy(request: Request, error: LimitReached) -> JSONResponse:
        return error_response(request.url.path, refusal_of(error))

    @app.exception_handler(KoRerankError)
    async def failed(request: Request, problem: KoRerankError) -> JSONResponse:
        told = refusal_of(problem)
        if told.status_code == unexpected().status_code:
            facts = {"request_id": get_context(request).request_id}
            logger.error("request failed", exc_info=problem, extra={"facts": facts})
        return error_response(request.url.path, told)

    @app.exception_handler(Exception)
    async def crashed(request: Request, problem: Exception) -> JSONResponse:
        context = get_context(request)
        logger.error("request failed", exc_info=problem, extra={"facts": {"request_id": context.request_id}})
        response = error_response(request.url.path, unexpected())
        response.headers["X-Request-ID"] = context.request_id
        return response
