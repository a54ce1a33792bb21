"""The page as it is delivered, without a browser."""

from __future__ import annotations

import json
import re
import socket

import httpx
import pytest
from typer.testing import CliRunner

from llama_index_ko_rerank.app.chat_service import ChatService
from llama_index_ko_rerank.app.security import LARGEST_REQUEST, delivered_page
from llama_index_ko_rerank.app.server import build_server, is_loopback
from llama_index_ko_rerank.cli import app as command_line
from llama_index_ko_rerank.errors import InvalidSetting


@pytest.fixture(scope="module")
def get(parts):
    """Ask the app for a path, without a socket."""
    import asyncio

    transport = httpx.ASGITransport(build_server(ChatService(parts)))

    def asked(path, method="GET", **settings):
        async def one():
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
                return await client.request(method, path, **settings)

        return asyncio.run(one())

    return asked


def test_the_page_is_korean_and_names_no_other_host(get):
    page = get("/")
    assert page.status_code == 200
    assert '<html\n\tlang="ko"' in page.text
    assert set(re.findall(r"(?:src|href)=\"(https?://[^\"]+)", page.text)) <= {"http://127.0.0.1:7860"}
    assert not re.search(r"googleapis|gstatic|cdnjs|raw\.githubusercontent|og:|twitter:", page.text)
    assert "/page/style.css" in page.text


def test_gradio_is_told_to_send_and_keep_nothing(get):
    config = get("/config").json()
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False
    assert config["footer_links"] == []


def test_only_scripts_with_the_nonce_of_this_response_may_run(get):
    first, second = get("/"), get("/")
    nonces = [re.search(r"'nonce-([^']+)'", page.headers["content-security-policy"])[1] for page in (first, second)]
    assert nonces[0] != nonces[1]
    scripts = re.findall(r"<script[^>]*>", first.text)
    assert scripts
    assert all(f'nonce="{nonces[0]}"' in script for script in scripts)


def test_what_the_browser_asks_for_is_there_and_compressed_pages_are_rewritten_too(get):
    page = get("/", headers={"accept-encoding": "gzip, br"})
    assert "/page/page.js" in page.text
    for path in ("/page/style.css", "/page/page.js", "/page/icon.svg", "/theme.css", "/config"):
        assert get(path).status_code == 200, path
    assert "http" not in get("/page/page.js").text
    styles = get("/page/style.css").text + get("/theme.css").text
    assert not re.search(r"@import|@font-face|url\(.?(?:https?:|//)", styles)


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/runs",
        "/monitoring",
        "/docs",
        "/page/../server.py",
        "/page/%2e%2e/server.py",
    ],
)
def test_what_the_page_does_not_need_is_not_there(get, path):
    assert get(path).status_code == 404


def test_a_request_that_is_too_large_is_refused(get):
    body = b"x" * (LARGEST_REQUEST + 1)
    assert get("/gradio_api/queue/join", method="POST", content=body).status_code == 413


def test_other_names_that_lead_to_this_machine_are_refused(get):
    assert get("/", headers={"host": "evil.example"}).status_code == 400
    assert get("/", headers={"host": "localhost:7860"}).status_code == 200


def test_tags_that_point_elsewhere_are_taken_out_of_any_page():
    page = (
        '<html lang="en"><head><link rel="preconnect" href="https://fonts.gstatic.com" crossorigin="anonymous" />'
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css2?x" />'
        '<script src="https://cdnjs.cloudflare.com/iframe-resizer.js" async></script>'
        '<meta property="og:url" content="{url}" /><script>ours()</script></head><body></body></html>'
    )
    delivered = delivered_page(page, "n")
    assert "https://" not in delivered
    assert '<script nonce="n">ours()</script>' in delivered


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("192.168.0.7", False)],
)
def test_loopback_is_told_from_other_addresses(host, is_own):
    assert is_loopback(host) is is_own


def test_a_port_that_is_taken_is_an_error_before_models_are_loaded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(command_line, ["chat", str(tmp_path), "--port", port])
    assert isinstance(done.exception, InvalidSetting)
    assert "name another --host or --port" in str(done.exception)


def test_the_switches_on_the_page_start_as_the_collection_is_usually_searched(get):
    components = {one["props"].get("elem_id"): one["props"] for one in get("/config").json()["components"]}
    assert components["reranker"]["value"] == "ranker"
    assert components["count"]["value"] == 5
    assert [value for _, value in components["legs"]["choices"]] == ["hybrid", "lexical", "dense"]
    assert "회사 문서" in json.dumps(components["masthead"], ensure_ascii=False)
