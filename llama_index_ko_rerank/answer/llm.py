"""Connecting to an LLM that a server offers in OpenAI's way: OpenAI itself, Ollama, vLLM, llama.cpp."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llama_index_ko_rerank.errors import InvalidSetting, LlmUnavailable
from llama_index_ko_rerank.extras import require

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

API_KEY_ENV = "KO_RERANK_LLM_API_KEY"
"""The environment variable that holds the key. It has a name of its own, so that a key that was meant for one server
is not sent to another."""

_NO_KEY = "none"


def connect_llm(
    url: str,
    model: str,
    *,
    timeout_s: float = 60.0,
    retries: int = 2,
    api_key_env: str = API_KEY_ENV,
    context_window: int = 4096,
    max_tokens: int = 512,
) -> LLM:
    """Return LlamaIndex's LLM for a model that a server offers in OpenAI's way.

    Nothing is sent before the first question. Whatever goes wrong then is an `LlmUnavailable` that says what it was; an
    engine of this package answers with extracts in its place, and says so. The key comes from the environment only, so
    that it stands in no command line, settings file or log.

    Args:
        url: Where the API begins, such as ``http://localhost:11434/v1`` for Ollama; a URL without a path gets ``/v1``.
        model: The model's name on that server.
        timeout_s: How long to wait for a connection (5 seconds at most) and for each piece of an answer.
        retries: How often a call is tried again, with growing pauses, after a timeout, a refused connection, or one of
            the statuses 408, 409, 429 and 5xx. An answer that breaks off while it streams is not tried again.
        api_key_env: The environment variable that holds the key; without one a server that wants none is asked.
        context_window: How many tokens the model reads and writes together. The default is what Ollama gives a model
            that was not told otherwise; a larger one lets more sources in.
        max_tokens: How long an answer may become.

    Raises:
        InvalidSetting: The URL is not http or https, or holds a password; the name is blank, a number is out of range,
            or the key has characters that no HTTP header can hold.
        MissingExtra: ``llama-index-llms-openai-like`` is not installed.
    """
    base_url = _checked_url(url)
    if not isinstance(model, str) or not model.strip():
        raise InvalidSetting(f"an LLM needs its name on the server {base_url}, not {model!r}; see {base_url}/models")
    _check_numbers(timeout_s, retries, context_window, max_tokens)
    api_key = _key_from(api_key_env)
    require("chat", "llama_index.llms.openai_like", needed_for="an LLM on a server")
    from llama_index_ko_rerank.answer.openai_compatible import openai_compatible_llm

    return openai_compatible_llm(
        base_url,
        model.strip(),
        timeout_s=float(timeout_s),
        retries=retries,
        api_key=api_key or _NO_KEY,
        api_key_env=api_key_env,
        context_window=context_window,
        max_tokens=max_tokens,
    )


def llm_failures() -> tuple[type[Exception], ...]:
    """Return what counts as the failure of an LLM, after which an answer is made of extracts.

    `LlmUnavailable`; ``OSError``, which is what connections and timeouts raise in Python; the errors of ``openai`` and
    ``httpx``, through which LlamaIndex's own LLMs speak, where they are loaded; and pydantic's, which LlamaIndex raises
    on a stream without a single piece. Anything else that an LLM raises is a mistake in a program, and reaches the
    caller.
    """
    loaded = [
        getattr(sys.modules[module], name)
        for module, name in (("openai", "OpenAIError"), ("httpx", "HTTPError"), ("pydantic", "ValidationError"))
        if module in sys.modules
    ]
    return (LlmUnavailable, OSError, *loaded)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except (ValueError, AttributeError) as error:
        raise InvalidSetting(f"the URL of an LLM cannot be read: {error}") from error
    if parts.username or parts.password:
        raise InvalidSetting("the URL of an LLM must hold no user or password; put the key into the environment")
    if not usable or parts.query or parts.fragment:
        raise InvalidSetting(f"the URL of an LLM looks like http://localhost:11434/v1, not {url!r}")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def _check_numbers(timeout_s: float, retries: int, context_window: int, max_tokens: int) -> None:
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise InvalidSetting(f"timeout_s must be a number of seconds over 0, not {timeout_s}")
    if retries < 0:
        raise InvalidSetting(f"retries must be 0 or more, not {retries}")
    if max_tokens < 1 or context_window <= max_tokens:
        raise InvalidSetting(
            f"max_tokens must be 1 or more and under context_window, not {max_tokens} of {context_window}"
        )


def _key_from(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidSetting(f"the key in {variable} has characters that no HTTP header can hold; was it copied whole?")
    return key
