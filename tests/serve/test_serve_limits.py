"""What is refused, and how a request that fails is told of and logged."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from llama_index_ko_rerank.errors import IndexBusy, UnsuitableModel
from llama_index_ko_rerank.serve.logs import JsonLines
from tests.serve.service_process import KEY, QUESTION, TEXTS

BODY = {"query": QUESTION, "texts": TEXTS}


class HeldScorer:
    """Judges as the real one does, when it is let go."""

    def __init__(self, scorer):
        self.scorer = scorer
        self.go = asyncio.Event()

    async def ascore(self, query, texts, *, top_n=None):
        await self.go.wait()
        return await self.scorer.ascore(query, texts, top_n=top_n)


class BrokenScorer:
    """Fails with an error that quotes a passage, as a model that gives NaN does."""

    def __init__(self, kind):
        self.kind = kind

    async def ascore(self, query, texts, *, top_n=None):
        raise self.kind(f"NaN for the passage {texts[0]!r}")


def ask(client, path="/rerank", **request):
    async def once():
        async with client:
            return await client.post(path, **({"json": BODY} | request))

    return asyncio.run(once())


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_too_many_texts_and_too_many_bytes_are_413_and_a_long_text_422(client_of):
    many = ask(client_of(max_texts=3))
    assert many.status_code == 413
    assert many.json()["detail"] == "texts has 4 texts; a request may have 3"
    assert ask(client_of(max_payload_bytes=100)).status_code == 413
    long = ask(client_of(max_text_characters=len(TEXTS[1]) - 1))
    assert long.status_code == 422
    assert long.json()["detail"].startswith("texts[0] has" if len(TEXTS[0]) >= len(TEXTS[1]) else "texts[1] has")
    assert ask(client_of(max_text_characters=5)).json()["detail"].startswith("query has")


def test_a_body_that_does_not_say_its_length_is_stopped_at_the_limit(client_of):
    sent = []

    async def body():
        for _ in range(1000):
            sent.append(1)
            yield b" " * 1000

    answer = ask(client_of(max_payload_bytes=5000), json=None, content=body())
    assert answer.status_code == 413


def test_a_request_beyond_the_queue_is_429_and_one_that_waits_too_long_503(client_of, models):
    async def crowd():
        held = HeldScorer(models.scorer)
        client = client_of(models=replace(models, scorer=held), max_concurrent=1, max_waiting=1, max_wait_s=0.05)
        async with client:
            first = asyncio.create_task(client.post("/rerank", json=BODY))
            await until(lambda: client.limiter.under_way == 1)
            second = asyncio.create_task(client.post("/rerank", json=BODY))
            await until(lambda: client.limiter.under_way == 2)
            third = await client.post("/rerank", json=BODY)
            healthy = await client.get("/health")
            late = await second
            held.go.set()
            return await first, late, third, healthy

    first, late, third, healthy = asyncio.run(crowd())
    assert first.status_code == 200
    assert third.status_code == 429
    assert third.headers["Retry-After"] == "1"
    assert third.json()["error_type"] == "Overloaded"
    assert late.status_code == 503
    assert late.headers["Retry-After"] == "1"
    assert healthy.status_code == 200


def test_a_closing_service_finishes_what_is_under_way_and_refuses_the_rest(client_of, models):
    async def stop():
        held = HeldScorer(models.scorer)
        client = client_of(models=replace(models, scorer=held))
        async with client:
            first = asyncio.create_task(client.post("/rerank", json=BODY))
            await until(lambda: client.limiter.under_way == 1)
            client.limiter.close()
            second, health = await client.post("/rerank", json=BODY), await client.get("/health")
            held.go.set()
            return await first, second, health, client.limiter.under_way

    first, second, health, left = asyncio.run(stop())
    assert first.status_code == 200
    assert second.status_code == 503
    assert int(second.headers["Retry-After"]) >= 1
    assert health.status_code == 503
    assert health.json()["status"] == "stopping"
    assert left == 0


def test_a_place_that_a_cancelled_request_held_is_free_again(client_of, models):
    async def cancel():
        held = HeldScorer(models.scorer)
        client = client_of(models=replace(models, scorer=held), max_concurrent=1, max_waiting=1)
        async with client:
            first = asyncio.create_task(client.post("/rerank", json=BODY))
            await until(lambda: client.limiter.under_way == 1)
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await until(lambda: client.limiter.under_way == 0)
            held.go.set()
            return await client.post("/rerank", json=BODY)

    assert asyncio.run(cancel()).status_code == 200


@pytest.mark.parametrize("shown", [None, "Bearer 0123456789abcdeF", f"Basic {KEY}", KEY, "Bearer "])
def test_without_the_key_only_health_is_answered(client_of, shown):
    headers = {"Authorization": shown} if shown else None

    async def look():
        async with client_of(api_key=KEY, headers=headers) as client:
            paths = ("/health", "/metrics", "/openapi.json")
            return [await client.get(path) for path in paths], await client.post("/v1/embeddings", json={"input": "글"})

    (health, metrics, schema), embeddings = asyncio.run(look())
    assert health.status_code == 200
    assert metrics.status_code == schema.status_code == embeddings.status_code == 401
    assert embeddings.headers["WWW-Authenticate"] == "Bearer"
    assert embeddings.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_key_opens(client_of, scheme):
    assert ask(client_of(api_key=KEY, headers={"Authorization": f"{scheme} {KEY}"})).status_code == 200


def test_a_request_keeps_the_name_that_its_client_gave_it_unless_that_is_no_name(client_of):
    named = ask(client_of(headers={"X-Request-ID": "Kim.42"}))
    assert named.headers["X-Request-ID"] == "Kim.42"
    for bad in ("a b", "x" * 129, '"quoted"'):
        assert len(ask(client_of(headers={"X-Request-ID": bad})).headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("kind", [UnsuitableModel, RuntimeError])
def test_a_failure_is_500_in_few_words_and_the_log_has_its_place_but_no_text(client_of, models, caplog, kind):
    caplog.set_level(logging.INFO, "llama_index_ko_rerank.serve")
    client = client_of(models=replace(models, scorer=BrokenScorer(kind)), headers={"X-Request-ID": "broken"})
    answer = ask(client)
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] == "broken"
    assert answer.json()["error_type"] == "Backend"
    assert TEXTS[0] not in answer.text
    lines = [JsonLines().format(record) for record in caplog.records]
    assert not any(TEXTS[0] in line for line in lines)
    failure = next(json.loads(line) for line in lines if "exception" in json.loads(line))
    assert failure["exception"] == kind.__name__
    assert failure["request_id"] == "broken"
    assert any("ascore" in frame for frame in failure["at"])
    assert [json.loads(line)["status"] for line in lines if '"request"' in line] == [500]
    with_texts = [JsonLines(log_texts=True).format(record) for record in caplog.records]
    assert any(TEXTS[0] in json.loads(line).get("words", "") for line in with_texts)


def test_a_collection_that_is_being_written_is_503(client_of, models):
    answer = ask(client_of(models=replace(models, scorer=BrokenScorer(IndexBusy))))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("log_texts", [False, True])
def test_a_request_is_one_line_of_json_with_texts_only_where_they_are_wanted(client_of, caplog, log_texts):
    caplog.set_level(logging.INFO, "llama_index_ko_rerank.serve")
    ask(client_of(log_texts=log_texts))
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert {"time", "level", "request_id", "method", "path", "status", "ms", "text_count"} <= set(line)
    assert (line["path"], line["status"], line["text_count"]) == ("/rerank", 200, 4)
    assert line.get("texts") == (TEXTS if log_texts else None)
    assert line.get("query") == (QUESTION if log_texts else None)


def test_metrics_count_answers_and_texts_by_path_and_unknown_paths_together(client_of):
    async def look():
        async with client_of() as client:
            await client.post("/rerank", json=BODY)
            await client.post("/rerank", json={})
            await client.get("/a/b")
            await client.get("/c")
            return (await client.get("/metrics")).text

    text = asyncio.run(look())
    assert 'ko_rerank_requests_total{path="/rerank",status="200"} 1.0' in text
    assert 'ko_rerank_requests_total{path="/rerank",status="422"} 1.0' in text
    assert 'ko_rerank_requests_total{path="other",status="404"} 2.0' in text
    assert 'ko_rerank_texts_total{path="/rerank"} 4.0' in text
    assert "ko_rerank_requests_under_way 0.0" in text


def test_search_without_a_collection_says_how_to_serve_one(client_of):
    answer = ask(client_of(), "/search", json={"query": QUESTION})
    assert answer.status_code == 404
    assert "ko-rerank serve DIR" in answer.json()["detail"]


def test_the_schema_states_every_refusal_with_when_to_ask_again(client_of):
    async def read():
        async with client_of(api_key=KEY, headers={"Authorization": f"Bearer {KEY}"}) as client:
            return (await client.get("/openapi.json")).json()

    paths = asyncio.run(read())["paths"]
    for path in ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/embeddings", "/search"):
        operation = paths[path]["post"]
        assert {"200", "400", "401", "404", "413", "422", "429", "500", "503"} == set(operation["responses"])
        assert "Retry-After" in operation["responses"]["429"]["headers"]
        assert operation["security"] == [{"HTTPBearer": []}]
    assert "security" not in paths["/health"]["get"]
