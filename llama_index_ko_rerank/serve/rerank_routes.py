"""`/rerank` in the shapes of TEI and Cohere, and Cohere's and Jina's own paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from llama_index_ko_rerank.rerank.cross_encoder.scorer import CrossEncoderScorer
from llama_index_ko_rerank.rerank.nodes import BlankLast, RankedPassage
from llama_index_ko_rerank.serve.errors import documented
from llama_index_ko_rerank.serve.middleware import RequestContext, get_context
from llama_index_ko_rerank.serve.models import Service, check_model
from llama_index_ko_rerank.serve.schemas import CohereRanking, CohereRerank, EitherRerank, TeiRanking, TeiRerank
from llama_index_ko_rerank.text.normalize import check_query


async def rank(
    scorer: CrossEncoderScorer, query: str, texts: Sequence[str], *, top_n: int | None = None
) -> list[RankedPassage]:
    """Order passages by how well they answer a question, as `CrossEncoderNodePostprocessor` does.

    Questions that come at the same time share a forward.

    Args:
        scorer: The model.
        query: The question.
        texts: The passages; blank ones come last.
        top_n: How many come back at most. Defaults to all.

    Returns:
        Best first; equal ones in the order given.

    Raises:
        BlankQuery: The question is blank.
        InvalidText: A text holds lone surrogates.
        UnsuitableModel: The model gives NaN or infinity for a passage.
    """
    query, candidates = check_query(query), BlankLast(texts)
    scored = await scorer.ascore(query, candidates.texts, top_n=top_n)
    return candidates.rank(scored.logits, exact=scored.exact, top_n=top_n)


RERANK = "/rerank"
COHERE_PATHS = ("/v1/rerank", "/v2/rerank")
_STATUSES = 400, 401, 404, 413, 422, 429, 500, 503


def rerank_routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["rerank"])

    @router.post(RERANK, response_model=TeiRanking | CohereRanking, responses=documented("tei", *_STATUSES))
    async def rerank(request: Request, body: Annotated[EitherRerank, Body()]) -> JSONResponse:
        """Order passages by how well they answer a question; `texts` or `documents` tells the shape of the answer."""
        context = get_context(request)
        if isinstance(body, TeiRerank):
            return JSONResponse(await _tei(service, body, context))
        return JSONResponse(await _cohere(service, body, context))

    async def cohere_rerank(request: Request, body: CohereRerank) -> JSONResponse:
        """Order documents by how well they answer a question."""
        return JSONResponse(await _cohere(service, body, get_context(request)))

    for path in COHERE_PATHS:
        router.add_api_route(
            path,
            cohere_rerank,
            methods=["POST"],
            operation_id=f"cohere_rerank_{path.split('/')[1]}",
            response_model=CohereRanking,
            responses=documented("detail", *_STATUSES),
        )
    return router


async def _tei(service: Service, body: TeiRerank, context: RequestContext) -> list[dict[str, Any]]:
    service.check_query(body.query)
    service.check_texts("texts", body.texts)
    context.note(query=body.query, texts=body.texts)
    async with service.limiter.slot():
        ranked = await rank(service.models.scorer, body.query, body.texts)
    return [
        {
            "index": found.position,
            "score": found.logit if body.raw_scores else found.probability,
            **({"text": body.texts[found.position]} if body.return_text else {}),
        }
        for found in ranked
    ]


async def _cohere(service: Service, body: CohereRerank, context: RequestContext) -> dict[str, Any]:
    models = service.models
    check_model(body.model, models.rerank_name)
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    service.check_query(body.query)
    service.check_texts("documents", texts)
    context.note(query=body.query, texts=texts)
    async with service.limiter.slot():
        ranked = await rank(models.scorer, body.query, texts, top_n=body.top_n)
    results = [
        {
            "index": found.position,
            "relevance_score": found.probability,
            **({"document": {"text": texts[found.position]}} if body.return_documents else {}),
        }
        for found in ranked
    ]
    return {"id": context.request_id, "model": models.rerank_name, "results": results}
