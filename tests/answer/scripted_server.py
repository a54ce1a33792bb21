"""A tiny HTTP server that behaves as the model's name says: an OpenAI-compatible one, and every way to fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ANSWER = ["점심은 ", "11시 30분부터 ", "준다 [1", "][9]."]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        getattr(self, f"_{body['model'].replace('-', '_')}")(body.get("stream", False))

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _send(self, status: int, body: str, kind: str = "application/json") -> None:
        data = body.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, pieces: list[str], *, finish: str | None = "stop", tail: str = "data: [DONE]\n\n") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self._event({"content": piece}, None)
        if finish:
            self._event({}, finish)
        self.wfile.write(tail.encode("utf-8"))
        self.close_connection = True

    def _event(self, delta: dict[str, str], finish: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _good(self, stream: bool) -> None:
        if stream:
            self._stream(ANSWER)
            return
        message = {"role": "assistant", "content": "".join(ANSWER)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        self._send(200, json.dumps(whole))

    def _flaky(self, stream: bool) -> None:
        if len(self.server.requests) == 1:
            self._down(stream)
        else:
            self._good(stream)

    def _down(self, stream: bool) -> None:
        self._send(500, '{"error": {"message": "out of memory"}}')

    def _locked(self, stream: bool) -> None:
        self._send(401, '{"error": {"message": "bad key sekrit"}}')

    def _missing(self, stream: bool) -> None:
        self._send(404, '{"error": {"message": "no such model"}}')

    def _slow(self, stream: bool) -> None:
        time.sleep(0.6)
        self._good(stream)

    def _html(self, stream: bool) -> None:
        self._send(200, "<html>a login page</html>", "text/html")

    def _not_json(self, stream: bool) -> None:
        self._send(200, "{broken")

    def _other_shape(self, stream: bool) -> None:
        self._send(200, '{"choices": []}')

    def _dropped(self, stream: bool) -> None:
        if stream:
            self._stream(ANSWER[:2], finish=None, tail="")
        self.close_connection = True

    def _bad_event(self, stream: bool) -> None:
        if stream:
            self._stream(ANSWER[:2], finish=None, tail="data: {broken\n\n")
        else:
            self._not_json(stream)


@contextmanager
def scripted_server() -> Iterator[ThreadingHTTPServer]:
    """Run the server on a free port of the loopback; its ``requests`` are the paths, headers and bodies that came."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.requests = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
