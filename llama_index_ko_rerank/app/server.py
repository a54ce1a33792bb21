"""The page as a server on this machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from llama_index_ko_rerank.app import require_chat
from llama_index_ko_rerank.app.chat_service import ChatService
from llama_index_ko_rerank.app.security import PAGE_FILES, SecurityMiddleware

_FOLDER = Path(__file__).parent / "files"
_LOOPBACK_NAMES = ["127.0.0.1", "localhost"]


def build_server(answerer: ChatService, *, host: str = "127.0.0.1", port: int = 7860) -> FastAPI:
    """Return the page as an ASGI app.

    Where it listens on this machine only, it answers only to this machine's names, so that no web site can read it by
    a name of its own that leads here.
    """
    require_chat()
    from llama_index_ko_rerank.app.page import mount_page

    app = FastAPI(title="ko-rerank", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(PAGE_FILES, StaticFiles(directory=_FOLDER))
    mount_page(app, answerer, host=host, port=port)
    app.add_middleware(SecurityMiddleware)
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK_NAMES)
    return app


def serve(answerer: ChatService, *, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the page until the process is interrupted."""
    app = build_server(answerer, host=host, port=port)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine's name or address for itself.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
