"""What `ko-rerank index --qdrant` refuses, and how it says who it is."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.cli import app
from llama_index_ko_rerank.errors import IndexReadOnly, InvalidSetting

RAY = ("--data", "sample", "--engine", "ray")
URL = ("--qdrant", "http://127.0.0.1:1")


def run(*options, name="rules"):
    return CliRunner().invoke(app, ["index", name, *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "sample", *URL), "--engine ray"),
        (("--source", "docs", "--engine", "ray", *URL), "goes with --data"),
        ((*RAY, *URL, "--shards", "2"), "without --shards"),
        ((*RAY, *URL, "--rerank-model", "ko-mini-rerank"), "--rerank-model"),
        ((*RAY, "--qdrant", "localhost:6333"), "http://127.0.0.1:6333"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(options, said):
    done = run(*options)
    assert isinstance(done.exception, InvalidSetting)
    assert said in str(done.exception)


def test_a_path_is_no_name_at_qdrant():
    done = run(*RAY, *URL, name="folder/rules")
    assert isinstance(done.exception, InvalidSetting)
    assert "without a slash" in str(done.exception)


def test_the_key_comes_from_the_environment_and_its_refusal_is_said(monkeypatch):
    keys = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            keys.append(self.headers.get("api-key"))
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    monkeypatch.setenv("KO_RERANK_QDRANT_API_KEY", "secret")
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        done = run(*RAY, "--qdrant", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert isinstance(done.exception, IndexReadOnly)
    assert keys == ["secret"]
