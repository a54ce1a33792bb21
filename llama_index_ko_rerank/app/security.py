"""What leaves the server: a page that names no other host, headers that keep it so, and nothing it does not need."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_REQUEST = 64 * 1024
PAGE_FILES = "/page"

_ALLOWED = (
    "/assets/",
    "/static/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    f"{PAGE_FILES}/",
    "/gradio_api/queue/",
    "/gradio_api/call/",
    "/gradio_api/cancel",
    "/gradio_api/info",
    "/gradio_api/heartbeat/",
    "/gradio_api/app_id",
    "/gradio_api/startup-events",
    "/gradio_api/reset",
)
"""What the page and gradio's client ask for. Uploads, files, proxies, recordings and monitoring are not there."""

_FOREIGN_TAGS = re.compile(
    r"""<meta\s[^>]*(?:property="og:|name="twitter:)[^>]*>\s*"""
    r"""|<link\s[^>]*(?:rel="manifest"|rel="preconnect"|href="https?://)[^>]*>\s*"""
    r"""|<script\s[^>]*src="https?://[^>]*>\s*</script>\s*"""
)
_HEAD = f"""<link rel="icon" href="{PAGE_FILES}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{PAGE_FILES}/style.css">
<script src="{PAGE_FILES}/page.js" defer></script>
</head>"""


def delivered_page(html: str, nonce: str) -> str:
    """Return gradio's page in Korean, without what points at other hosts, and with our style and script.

    Args:
        html: Gradio's index page.
        nonce: Marks the scripts that are the page's own, see `content_security_policy`.
    """
    html = _FOREIGN_TAGS.sub("", html)
    html = html.replace('lang="en"', 'lang="ko"', 1).replace("</head>", _HEAD, 1)
    return re.sub(r"<script(?=[\s>])", f'<script nonce="{nonce}"', html)


def content_security_policy(nonce: str) -> str:
    """Return the policy under which nothing but the page's own scripts runs, and nothing leaves for another host.

    Inline handlers and scripts in a document stay dead even where the escaping failed. ``unsafe-eval`` is there since
    gradio compiles the templates of its own components in the browser; it runs no markup.
    """
    return (
        "default-src 'none'; "
        f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; script-src-attr 'none'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "worker-src 'self' blob:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )


class SecurityMiddleware:
    """Middleware around gradio's app.

    Refuses paths that the page does not need and bodies over `LARGEST_REQUEST`, rewrites the page itself, and sets the
    headers of every response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        nonce = secrets.token_urlsafe(16)
        protected = _with_headers(send, nonce)
        if path != "/" and not path.startswith(_ALLOWED):
            await PlainTextResponse("없는 주소입니다", 404)(scope, receive, protected)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_REQUEST:
            await PlainTextResponse("너무 큰 요청입니다", 413)(scope, receive, protected)
            return
        if path == "/":
            await self.app(_uncompressed(scope), receive, _rewriting(protected, nonce))
            return
        await self.app(scope, _bounded(receive), protected)


def _uncompressed(scope: Scope) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    return {**scope, "headers": headers}


def _bounded(receive: Receive) -> Receive:
    """Break off a body without a length that becomes too large."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return message if taken <= LARGEST_REQUEST else {"type": "http.disconnect"}

    return receive_bounded


def _with_headers(send: Send, nonce: str) -> Callable[[Message], Awaitable[None]]:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = content_security_policy(nonce)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        await send(message)

    return send_with_headers


def _rewriting(send: Send, nonce: str) -> Callable[[Message], Awaitable[None]]:
    start: Message = {}
    body = bytearray()

    async def send_rewritten(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        page = bytes(body)
        if start["status"] == 200 and page:
            page = delivered_page(page.decode("utf-8"), nonce).encode("utf-8")
        headers = MutableHeaders(scope=start)
        headers["Content-Length"] = str(len(page))
        headers["Cache-Control"] = "no-store"
        await send(start)
        await send({"type": "http.response.body", "body": page})

    return send_rewritten
