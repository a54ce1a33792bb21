"""`/rerank` in the shapes of TEI and Cohere, and Cohere's and Jina's own paths."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from llama_index_ko_rerank.serve.failures import documented
from llama_index_ko_rerank.serve.ranking import rank
from llama_index_ko_rerank.serve.rerank_shapes import CohereRanking, CohereRerank, EitherRerank, TeiRanking, TeiRerank
from llama_index_ko_rerank.serve.service import Service, check_model
from llama_index_ko_rerank.serve.visit import Visit, visit_of

RERANK = "/rerank"
COHERE_PATHS = ("/v1/rerank", "/v2/rerank")
_STATUSES = 400, 401, 404, 413, 422, 429, 500, 503


def rerank_routes(service: Service) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["rerank"])

    @router.post(RERANK, response_model=TeiRanking | CohereRanking, responses=documented("tei", *_STATUSES))
    async def rerank(request: Request, body: Annotated[EitherRerank, Body()]) -> JSONResponse:
        """Order passages by how well they answer a question; `texts` or `documents` tells the shape of the answer."""
        visit = visit_of(request)
        if isinstance(body, TeiRerank):
            return JSONResponse(await _tei(service, body, visit))
        return JSONResponse(await _cohere(service, body, visit))

    async def cohere_rerank(request: Request, body: CohereRerank) -> JSONResponse:
        """Order documents by how well they answer a question."""
        return JSONResponse(await _cohere(service, body, visit_of(request)))

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


async def _tei(service: Service, body: TeiRerank, visit: Visit) -> list[dict[str, Any]]:
    service.check_query(body.query)
    service.check_texts("texts", body.texts)
    visit.note(query=body.query, texts=body.texts)
    async with service.gate.place():
        ranked = await rank(service.models.scorer, body.query, body.texts)
    return [
        {
            "index": found.place,
            "score": found.logit if body.raw_scores else found.probability,
            **({"text": body.texts[found.place]} if body.return_text else {}),
        }
        for found in ranked
    ]


async def _cohere(service: Service, body: CohereRerank, visit: Visit) -> dict[str, Any]:
    models = service.models
    check_model(body.model, models.rerank_name)
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    service.check_query(body.query)
    service.check_texts("documents", texts)
    visit.note(query=body.query, texts=texts)
    async with service.gate.place():
        ranked = await rank(models.scorer, body.query, texts, top_n=body.top_n)
    results = [
        {
            "index": found.place,
            "relevance_score": found.probability,
            **({"document": {"text": texts[found.place]}} if body.return_documents else {}),
        }
        for found in ranked
    ]
    return {"id": visit.request_id, "model": models.rerank_name, "results": results}
