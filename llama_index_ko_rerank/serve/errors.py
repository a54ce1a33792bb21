"""What a client reads when something goes wrong, in the shape that its API's clients expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from llama_index_ko_rerank.errors import IndexBusy, KoRerankError, TextError
from llama_index_ko_rerank.limits import LimitReached, Overloaded

FailureShape = Literal["openai", "tei", "detail"]

_BUSY_INDEX_RETRY_S = 2
_TEI_KINDS = {401: "Unauthorized", 429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
_OPENAI_KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

_MEANINGS = {
    400: "The body is no JSON.",
    401: "The API key is missing or wrong.",
    404: "There is no such model or collection here.",
    413: "The body has too many bytes, or there are too many texts.",
    422: "A field is missing, unknown or not usable, or a text is too long.",
    429: "Too many requests are under way.",
    500: "The service failed; its log says why, under the request's id.",
    503: "No turn came in time, or the service is stopping.",
}


class Failure(BaseModel):
    """What went wrong."""

    detail: str


class TeiFailure(BaseModel):
    """What went wrong, for clients of TEI and, in `detail`, for those of Cohere and Jina."""

    error: str
    error_type: str
    detail: str


class OpenAIProblem(BaseModel):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIFailure(BaseModel):
    """What went wrong, as OpenAI wraps it."""

    error: OpenAIProblem


_MODELS: dict[FailureShape, type[BaseModel]] = {"openai": OpenAIFailure, "tei": TeiFailure, "detail": Failure}


def refusal(status: int, message: str, *, retry_after_s: int | None = None) -> HTTPException:
    """Make the error that ends a request.

    Args:
        status: The HTTP status.
        message: What was asked, what was found, what to do.
        retry_after_s: When to ask again, in seconds.
    """
    headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return HTTPException(status, message, headers)


def failure_shape(path: str) -> FailureShape:
    """Return the shape that clients of a path expect.

    >>> failure_shape("/v1/embeddings"), failure_shape("/rerank"), failure_shape("/v2/rerank")
    ('openai', 'tei', 'detail')
    """
    if path == "/v1/embeddings":
        return "openai"
    return "tei" if path == "/rerank" else "detail"


def error_response(path: str, problem: HTTPException) -> JSONResponse:
    """Put a refusal in the shape of its path."""
    # A text that no encoding can write may stand in the message, where it is part of a client's own words.
    message = str(problem.detail).encode("utf-8", "backslashreplace").decode("utf-8")
    content = _content(failure_shape(path), problem.status_code, message)
    return JSONResponse(content, problem.status_code, problem.headers)


def refusal_of(problem: KoRerankError | LimitReached) -> HTTPException:
    """Say which status an error of this package is; one that the client did not cause is told without its words."""
    if isinstance(problem, LimitReached):
        status = 429 if isinstance(problem, Overloaded) else 503
        return refusal(status, str(problem), retry_after_s=problem.retry_after_s)
    if isinstance(problem, TextError):
        return refusal(422, str(problem))
    if isinstance(problem, IndexBusy):
        return refusal(503, "the collection is being written; ask again", retry_after_s=_BUSY_INDEX_RETRY_S)
    return refusal(500, _MEANINGS[500])


def unexpected() -> HTTPException:
    """Say that something failed, and nothing else: an exception's words may hold texts."""
    return refusal(500, _MEANINGS[500])


def invalid_fields(errors: Sequence[Any]) -> HTTPException:
    """Say which fields of a body are not usable, without repeating what they hold."""
    if any(error["type"] == "json_invalid" for error in errors):
        return refusal(400, "the body is no JSON")
    found = []
    for error in errors[:5]:
        place = ".".join(str(part) for part in error["loc"] if part not in ("body", "texts-shape", "documents-shape"))
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append(f"{place}: {message}" if place else message)
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return refusal(422, "; ".join(found) + more)


def documented(shape: FailureShape, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the failures of a path for OpenAPI."""
    retry = {"Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}}}
    return {
        status: {
            "model": _MODELS[shape],
            "description": _MEANINGS[status],
            **({"headers": retry} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def _content(shape: FailureShape, status: int, message: str) -> dict[str, Any]:
    if shape == "openai":
        kind = _OPENAI_KINDS.get(status, "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": _OPENAI_CODES.get(status)}}
    if shape == "tei":
        return {"error": message, "error_type": _TEI_KINDS.get(status, "Validation"), "detail": message}
    return {"detail": message}
