"""One real server process, asked by the clients that people have: LlamaIndex's TEI reranker, openai, and plain HTTP."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.serve.service_process import HEADERS, KEY, QUESTION, TEXTS, lines_of

pytestmark = pytest.mark.slow  # a process with both models


def ask(server, path, **body):
    return httpx.post(server.url + path, json=body, headers=HEADERS, timeout=60)


def test_llama_index_s_tei_reranker_works_unchanged(server, direct):
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in TEXTS]
    reranker = TextEmbeddingInference(base_url=server.url, top_n=3, auth_token=f"Bearer {KEY}")
    found = reranker.postprocess_nodes(nodes, QueryBundle(QUESTION))
    expected = sorted(zip(direct(QUESTION, TEXTS), TEXTS, strict=True), reverse=True)[:3]
    assert [node.node.text for node in found] == [text for _, text in expected]
    assert [node.score for node in found] == pytest.approx([score for score, _ in expected], abs=1e-5)


def test_the_openai_client_works_unchanged(server, models):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    many = client.embeddings.create(model="ko-static", input=TEXTS)
    one = client.embeddings.create(model="ko-static", input=TEXTS[0], encoding_format="float")
    expected = models.embedding.get_text_embedding_batch(TEXTS)
    for vector, part in zip(expected, many.data, strict=True):
        assert part.embedding == pytest.approx(vector, abs=1e-6)
    assert one.data[0].embedding == pytest.approx(expected[0], abs=1e-6)
    assert many.usage.total_tokens > one.usage.total_tokens > 0


def test_the_openai_client_raises_its_own_errors(server):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.UnprocessableEntityError, match="token numbers"):
        client.embeddings.create(model="ko-static", input=[1, 2, 3])
    with pytest.raises(openai.NotFoundError, match="not served here") as missing:
        client.embeddings.create(model="text-embedding-3-small", input="글")
    assert missing.value.code == "model_not_found"
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="another key", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.embeddings.create(model="ko-static", input="글")


def test_search_finds_the_passage_with_its_metadata(server):
    for rerank in (True, False):
        results = ask(server, "/search", query=QUESTION, top_n=2, rerank=rerank).json()["results"]
        assert len(results) == 2
        assert results[0]["id"] == "규정-1"
        assert results[0]["text"] == TEXTS[1]
        assert results[0]["metadata"] == {"title": "제1조"}
    assert ask(server, "/search", query=QUESTION, top_n=31).status_code == 422


def test_every_one_of_many_clients_gets_the_scores_that_are_computed_directly(server, direct):
    questions = [f"{QUESTION} ({number})" for number in range(48)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda question: ask(server, "/rerank", query=question, texts=TEXTS), questions))
    for question, answer in zip(questions, answers, strict=True):
        assert answer.status_code == 200
        scores = {rank["index"]: rank["score"] for rank in answer.json()}
        assert [scores[place] for place in range(4)] == pytest.approx(direct(question, TEXTS), abs=1e-5)


def test_a_body_that_is_too_large_is_answered_not_broken_off(server):
    answer = httpx.post(server.url + "/rerank", content=b" " * 4_000_000, headers=HEADERS, timeout=60)
    assert answer.status_code == 413


def test_the_log_has_a_line_for_each_request_and_no_text(server):
    answer = ask(server, "/rerank", query=QUESTION, texts=TEXTS)
    name = answer.headers["X-Request-ID"]
    assert [line["status"] for line in lines_of(server.log) if line.get("request_id") == name] == [200]
    written = server.log.read_text(encoding="utf-8")
    assert not any(text in written for text in [QUESTION, KEY, *TEXTS])


def test_sigterm_finishes_what_is_under_way_and_refuses_what_is_new(server):
    """The last test of this file, since it ends the server."""
    texts = [f"{number}번째 규정이다. {' '.join(TEXTS)}" for number in range(256)]
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, server, "/rerank", query=QUESTION, texts=texts)
        wait_until_under_way(server)
        server.process.send_signal(signal.SIGTERM)
        refused = ask(server, "/rerank", query=QUESTION, texts=TEXTS)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert httpx.get(f"{server.url}/health").status_code == 503
        assert not long.done()
        assert long.result().status_code == 200
        assert len(long.result().json()) == 256
    assert server.process.wait(60) == 0


def wait_until_under_way(server):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if "ko_rerank_requests_under_way 1.0" in httpx.get(f"{server.url}/metrics", headers=HEADERS).text:
            return
    raise AssertionError("the long request did not begin")
