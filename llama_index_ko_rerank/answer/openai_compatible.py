"""LlamaIndex's LLM for OpenAI-compatible servers, whose failures have one type and plain words."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import openai
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.llms.openai_like import OpenAILike

from llama_index_ko_rerank.errors import LlmUnavailable

logger = logging.getLogger(__name__)

_CONNECT_S = 5.0
_LONGEST_REASON = 300
_MALFORMED = (ValueError, AttributeError, TypeError, LookupError)
"""What LlamaIndex and openai raise on a reply that is JSON of another shape, or no JSON."""


_Piece = TypeVar("_Piece", ChatResponse, CompletionResponse)


class OpenAICompatibleLLM(OpenAILike):
    """`OpenAILike` that raises `LlmUnavailable` and nothing else when its server fails; made by `connect_llm`."""

    api_key_env: str

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex knows the class."""
        return "OpenAICompatibleLLM"

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Ask with messages."""
        with self._plain_failures():
            return super().chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Ask with messages."""
        with self._plain_failures():
            return await super().achat(messages, **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Ask with messages and yield the answer as it comes; a stream that breaks off is a failure too."""
        with self._plain_failures():
            return self._whole(super().stream_chat(messages, **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Ask with messages and yield the answer as it comes; a stream that breaks off is a failure too."""
        with self._plain_failures():
            return self._awhole(await super().astream_chat(messages, **kwargs))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Ask with one text."""
        with self._plain_failures():
            return super().complete(prompt, formatted, **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Ask with one text."""
        with self._plain_failures():
            return await super().acomplete(prompt, formatted, **kwargs)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Ask with one text and yield the answer as it comes; a stream that breaks off is a failure too."""
        with self._plain_failures():
            return self._whole(super().stream_complete(prompt, formatted, **kwargs))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Ask with one text and yield the answer as it comes; a stream that breaks off is a failure too."""
        with self._plain_failures():
            return self._awhole(await super().astream_complete(prompt, formatted, **kwargs))

    def _whole(self, stream: Generator[_Piece, None, None]) -> Generator[_Piece, None, None]:
        reason = None
        with self._plain_failures():
            for piece in stream:
                reason = _finish_reason(piece) or reason
                yield piece
        self._check_end(reason)

    async def _awhole(self, stream: AsyncGenerator[_Piece, None]) -> AsyncGenerator[_Piece, None]:
        reason = None
        with self._plain_failures():
            async for piece in stream:
                reason = _finish_reason(piece) or reason
                yield piece
        self._check_end(reason)

    def _check_end(self, reason: str | None) -> None:
        if reason is None:
            raise LlmUnavailable(f"the answer of {self.model!r} at {self.api_base} broke off before its end")
        if reason == "length":
            logger.warning("an answer of %r was cut at max_tokens = %s", self.model, self.max_tokens)

    @contextmanager
    def _plain_failures(self) -> Iterator[None]:
        try:
            yield
        except LlmUnavailable:
            raise
        except (openai.OpenAIError, httpx.HTTPError, httpx.StreamError, *_MALFORMED) as error:
            raise LlmUnavailable(f"{self.model!r} at {self.api_base} {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
            return f"did not answer within {self.timeout:g} s"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"refused the key (status {error.status_code}); set {self.api_key_env}"
        if isinstance(error, openai.NotFoundError):
            return f"was not found (status 404): see {self.api_base}/models for the server's names"
        if isinstance(error, openai.APIStatusError):
            return f"answered with status {error.status_code}: {_short(error.message)}"
        if isinstance(error, openai.APIConnectionError):
            return f"cannot be reached: {_short(str(error.__cause__ or error))}; is the server running?"
        if isinstance(error, httpx.HTTPError):
            return f"broke off: {_short(str(error))}"
        if isinstance(error, openai.APIError):
            return f"reported an error: {_short(error.message)}"
        return f"sent something that is no answer: {_short(str(error))}"


def openai_compatible_llm(
    base_url: str,
    model: str,
    *,
    timeout_s: float,
    retries: int,
    api_key: str,
    api_key_env: str,
    context_window: int,
    max_tokens: int,
) -> OpenAICompatibleLLM:
    """Make the LLM of checked settings; see `connect_llm`.

    The retries are the client's: LlamaIndex's own would multiply them, and pause for 4 seconds at least. The key is in
    the clients alone, so that no representation or settings of the LLM hold it. No connection
    of the asynchronous client outlives its call, so that one LLM serves several event loops.
    """
    timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
    settings: dict[str, Any] = {"api_key": api_key, "base_url": base_url, "timeout": timeout, "max_retries": retries}
    no_pool = httpx.Limits(max_connections=1000, max_keepalive_connections=0)
    return OpenAICompatibleLLM(  # type: ignore[call-arg]  # the clients are no fields, but LlamaIndex's own arguments
        model=model,
        api_base=base_url,
        api_key="in the clients",
        api_key_env=api_key_env,
        timeout=timeout_s,
        max_retries=0,
        temperature=0.0,
        context_window=context_window,
        max_tokens=max_tokens,
        is_chat_model=True,
        openai_client=openai.OpenAI(**settings),
        async_openai_client=openai.AsyncOpenAI(
            **settings, http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, limits=no_pool)
        ),
    )


def _finish_reason(piece: ChatResponse | CompletionResponse) -> str | None:
    choices = getattr(piece.raw, "choices", None)
    return choices[0].finish_reason if choices else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
