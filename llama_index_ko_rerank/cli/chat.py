"""`ko-rerank chat`: a page to ask a collection on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from llama_index_ko_rerank.cli.console import LlmModel, LlmUrl, configure, errors, llm_of, output
from llama_index_ko_rerank.errors import InvalidSetting

_PORT = 7860


def chat(
    folder: Annotated[Path, typer.Argument(help="The folder of a collection.")],
    llm: LlmUrl = None,
    llm_model: LlmModel = None,
    host: Annotated[str, typer.Option(help="The address to listen on; by default only this machine can ask.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = _PORT,
) -> None:
    """Serve a page on which people ask FOLDER and see why each source was chosen, until Ctrl+C."""
    configure()
    writer = llm_of(llm, llm_model)
    _check_free(host, port)
    from llama_index_ko_rerank.app import require_chat

    require_chat()
    from llama_index_ko_rerank.app.chat_service import ChatService
    from llama_index_ko_rerank.app.components import open_components, warm_up
    from llama_index_ko_rerank.app.server import is_loopback, serve

    parts = open_components(folder)
    warm_up(parts)
    shown = f"[{host}]" if ":" in host else host
    output.print(f"{parts.passages} passages of {parts.documents} documents: [bold]http://{shown}:{port}[/]")
    if not is_loopback(host):
        errors.print("anyone who reaches this address can read what is indexed; there is no password", style="yellow")
    serve(ChatService(parts, writer), host=host, port=port)


def _check_free(host: str, port: int) -> None:
    """Refuse a port before models are loaded for it."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise InvalidSetting(
            f"cannot listen on {host} port {port}: {error.strerror or error}; name another --host or --port"
        ) from error
