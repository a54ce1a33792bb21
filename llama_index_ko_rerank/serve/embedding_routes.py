"""`/v1/embeddings` in OpenAI's shape."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, field_validator

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.serve.errors import documented, refusal
from llama_index_ko_rerank.serve.middleware import get_context
from llama_index_ko_rerank.serve.models import Service, check_model
from llama_index_ko_rerank.serve.schemas import StrictBody

EMBEDDINGS = "/v1/embeddings"
_STATUSES = 400, 401, 404, 413, 422, 429, 500, 503


class EmbeddingBody(StrictBody):
    """Texts to be turned into vectors."""

    input: str | list[str] = Field(min_length=1, description="One text or several.")
    model: str | None = Field(None, description="The served model, or nothing.")
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="Numbers, or the base64 of float32 in little-endian order."
    )
    dimensions: int | None = Field(None, ge=1, description="The model's own length of a vector, or nothing.")
    input_type: Literal["document", "query"] = Field(
        "document", description="What the texts are, for models that prompt questions and passages differently."
    )
    user: str | None = Field(None, description="Of no effect.")

    @field_validator("input", mode="before")
    @classmethod
    def _refuse_tokens(cls, value: object) -> object:
        if isinstance(value, list) and any(isinstance(part, int | list) for part in value):
            raise ValueError("lists of token numbers are not read, since they belong to another vocabulary; send text")
        return value


class EmbeddingVector(BaseModel):
    """One text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors of all texts, in their order."""

    object: Literal["list"]
    data: list[EmbeddingVector]
    model: str
    usage: Usage


def embedding_routes(service: Service) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["embeddings"])

    @router.post(EMBEDDINGS, response_model=EmbeddingList, responses=documented("openai", *_STATUSES))
    async def embeddings(request: Request, body: EmbeddingBody) -> JSONResponse:
        """Turn texts into vectors of length 1."""
        texts = [body.input] if isinstance(body.input, str) else body.input
        embedding, name = service.models.embedding, service.models.embed_name
        check_model(body.model, name)
        _check_dimensions(body.dimensions, embedding.dimension)
        service.check_texts("input", texts)
        get_context(request).note(texts=texts)
        async with service.limiter.slot():
            vectors = await _vectors(embedding, texts, is_query=body.input_type == "query")
            tokens = await asyncio.to_thread(_token_count, embedding, texts)
        data = [
            {"object": "embedding", "index": place, "embedding": _encoded(vector, body.encoding_format)}
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})

    return router


def _check_dimensions(asked: int | None, dimension: int) -> None:
    if asked not in (None, dimension):
        raise refusal(
            422, f"dimensions: vectors have {dimension} numbers and are not shortened, so {asked} is not possible"
        )


async def _vectors(embedding: KoreanEmbedding, texts: list[str], *, is_query: bool) -> list[list[float]]:
    if is_query:
        return [await embedding.aget_query_embedding(text) for text in texts]
    return await embedding.aget_text_embedding_batch(texts)


def _token_count(embedding: KoreanEmbedding, texts: list[str]) -> int:
    return sum(embedding.token_count(text) for text in texts)


def _encoded(vector: list[float], encoding: Literal["float", "base64"]) -> Any:
    if encoding == "float":
        return vector
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode("ascii")
