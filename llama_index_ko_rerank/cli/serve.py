"""`ko-rerank serve`: reranking, embeddings and search over HTTP."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING, DEFAULT_RERANKER
from llama_index_ko_rerank.cli.console import configure
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.serve.settings import RerankDtype, ServerSettings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIMITS = ServerSettings()


def serve(
    folder: Annotated[Path | None, typer.Argument(help="The folder of a collection, for /search.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; a free one where 0.", min=0, max=65_535)] = 8080,
    rerank_model: Annotated[
        str | None, typer.Option(help=f"A cross-encoder; by default the collection's, or {DEFAULT_RERANKER}.")
    ] = None,
    embed_model: Annotated[
        str | None, typer.Option(help=f"An embedding; by default the collection's, or {DEFAULT_EMBEDDING}.")
    ] = None,
    dtype: Annotated[RerankDtype, typer.Option(help="What the reranker computes in.")] = _LIMITS.dtype,
    cascade: Annotated[
        bool, typer.Option(help="Read all candidates in bfloat16, and in float32 those that may be among the first.")
    ] = False,
    max_payload_bytes: Annotated[int, typer.Option(help="Most bytes of a body.")] = _LIMITS.max_payload_bytes,
    max_texts: Annotated[int, typer.Option(help="Most candidates or inputs of a request.")] = _LIMITS.max_texts,
    max_text_characters: Annotated[int, typer.Option(help="Most characters of a text.")] = _LIMITS.max_text_characters,
    max_concurrent: Annotated[
        int, typer.Option(help="How many requests the models work on at once.")
    ] = _LIMITS.max_concurrent,
    max_waiting: Annotated[
        int, typer.Option(help="How many more may be under way; 429 beyond that.")
    ] = _LIMITS.max_waiting,
    max_wait_s: Annotated[float, typer.Option(help="How long one waits for its turn; then 503.")] = _LIMITS.max_wait_s,
    api_key_env: Annotated[
        str | None, typer.Option(help="The environment variable that holds the key that clients must send.")
    ] = None,
    log_texts: Annotated[bool, typer.Option(help="Write questions and texts to the log.")] = False,
) -> None:
    """Serve /rerank, /v1/embeddings and /search until SIGTERM or Ctrl-C; the log is JSON on the error stream."""
    configure()
    settings = ServerSettings(
        collection=folder,
        rerank_model=rerank_model,
        embed_model=embed_model,
        dtype=dtype,
        cascade=cascade,
        max_payload_bytes=max_payload_bytes,
        max_texts=max_texts,
        max_text_characters=max_text_characters,
        max_concurrent=max_concurrent,
        max_waiting=max_waiting,
        max_wait_s=max_wait_s,
        api_key=None if api_key_env is None else _key(api_key_env),
        log_texts=log_texts,
    )
    from llama_index_ko_rerank.serve import run_server
    from llama_index_ko_rerank.serve.logs import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(log_texts=log_texts))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("llama_index_ko_rerank.serve").setLevel(logging.INFO)
    if settings.api_key is None and host not in _LOOPBACK:
        logging.getLogger(__name__).warning("everybody who reaches %s may use the service: no --api-key-env", host)
    run_server(settings, host=host, port=port)


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise InvalidSetting(
            f"the environment variable {variable!r} holds no API key; set it or leave --api-key-env out"
        )
    return key
