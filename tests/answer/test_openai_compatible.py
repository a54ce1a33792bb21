from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from llama_index.core.base.llms.types import ChatMessage

from llama_index_ko_rerank.answer import build_chat_engine, connect_llm
from llama_index_ko_rerank.answer.llm import API_KEY_ENV, LlmUnavailable
from llama_index_ko_rerank.cli.console import llm_of
from llama_index_ko_rerank.errors import InvalidSetting
from tests.answer.scripted_server import scripted_server
from tests.corpora.answers import BigramRetriever, handbook

LUNCH = "점심은 몇 시부터 주나요?"
SHOWN = "점심은 11시 30분부터 준다 [1]."
FAILURES = {
    "down": "answered with status 500: .*out of memory",
    "locked": f"refused the key .status 401.; set {API_KEY_ENV}",
    "missing": "was not found .status 404.",
    "slow": "did not answer within 0.3 s",
    "html": "sent something that is no answer|broke off",
    "not-json": "sent something that is no answer|broke off",
    "other-shape": "sent something that is no answer|broke off",
    "dropped": "broke off|cannot be reached",
    "bad-event": "sent something that is no answer",
}
"""How the server misbehaves, and what is said of it."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv(API_KEY_ENV, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "meant for another server")
    with scripted_server() as server:
        yield server


def connected(server, model, **settings):
    return connect_llm(server.url, model, **{"timeout_s": 5, "retries": 0, **settings})


def ways_to_ask(llm):
    messages = [ChatMessage("점심은?")]

    async def streamed():
        return "".join([piece.delta async for piece in await llm.astream_chat(messages)])

    return {
        "chat": lambda: llm.chat(messages).message.content,
        "stream": lambda: "".join(piece.delta for piece in llm.stream_chat(messages)),
        "achat": lambda: asyncio.run(llm.achat(messages)).message.content,
        "astream": lambda: asyncio.run(streamed()),
        "complete": lambda: llm.complete("점심은?").text,
        "stream_complete": lambda: "".join(piece.delta for piece in llm.stream_complete("점심은?")),
        "acomplete": lambda: asyncio.run(llm.acomplete("점심은?")).text,
    }


def test_every_way_of_asking_gives_the_answer_and_one_llm_serves_several_event_loops(server):
    llm = connected(server, "good")
    answers = {name: ask() for name, ask in ways_to_ask(llm).items()}
    assert set(answers.values()) == {"점심은 11시 30분부터 준다 [1][9]."}
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer none"
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("good", 512, 0.0)


@pytest.mark.parametrize("model", FAILURES)
def test_every_failure_is_one_error_that_says_what_it_was(server, model):
    llm = connected(server, model, timeout_s=0.3 if model == "slow" else 5)
    for ask in ways_to_ask(llm).values():
        with pytest.raises(LlmUnavailable, match=f"{model}.*{server.url}/v1.*({FAILURES[model]})"):
            ask()


@pytest.mark.parametrize("model", ["down", "dropped", "bad-event"])
def test_in_a_conversation_extracts_answer_for_it(server, caplog, model):
    engine = build_chat_engine(BigramRetriever(handbook()), llm=connected(server, model))
    response = engine.stream_chat(LUNCH)
    text = "".join(response.response_gen)
    assert "- 점심은 오전 11시 30분부터 준다. [1]" in text
    assert text.startswith("언어 모델에서 답을" if model == "down" else "점심은 11시 30분부터")
    assert "문서에서 찾은 문장을 보여 드립니다" in text
    assert f"{server.url}/v1" in response.metadata["llm_failure"]
    assert "an answer was made of extracts" in caplog.text


def test_a_conversation_with_a_server_streams_and_checks_citations(server):
    response = build_chat_engine(BigramRetriever(handbook()), llm=connected(server, "good")).stream_chat(LUNCH)
    assert "".join(response.response_gen) == SHOWN
    assert response.metadata["citations"] == {"cited": [1], "removed": [9]}


def test_a_call_that_fails_is_tried_again_without_a_long_pause(server):
    assert connected(server, "flaky", retries=1).chat([ChatMessage("점심은?")]).message.content
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach():
    with scripted_server() as server:
        url = server.url
    with pytest.raises(LlmUnavailable, match=r"cannot be reached: .*refused.*is the server running"):
        connect_llm(url, "m", retries=0).complete("점심은?")


def test_the_key_is_read_from_the_environment_and_shown_nowhere(server, monkeypatch):
    monkeypatch.setenv(API_KEY_ENV, " sekrit\n")
    llm = connected(server, "good")
    llm.complete("점심은?")
    assert server.requests[0][1]["Authorization"] == "Bearer sekrit"
    assert "sekrit" not in f"{llm!r} {llm.to_dict()} {llm.model_dump_json()} {vars(llm)}"
    with pytest.raises(LlmUnavailable) as caught:
        connected(server, "locked").complete("점심은?")
    assert "sekrit" not in str(caught.value)


def test_a_key_may_stand_in_another_variable(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "abc")
    connected(server, "good", api_key_env="MY_KEY").complete("점심은?")
    assert server.requests[0][1]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        (" https://api.example.com/v1/ ", "https://api.example.com/v1"),
        ("http://127.0.0.1:8000/api/v2", "http://127.0.0.1:8000/api/v2"),
        ("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000/v1"),
    ],
)
def test_a_url_is_brought_to_where_the_api_begins(url, base):
    assert connect_llm(url, "m").api_base == base


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:11434", "looks like http://localhost:11434/v1"),
        ("ftp://host/v1", "looks like"),
        ("http://", "looks like"),
        ("http://host/v1?key=abc", "looks like"),
        ("http://host:99999/v1", "cannot be read"),
        ("http://user:sekrit@host/v1", "no user or password"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url, said):
    with pytest.raises(InvalidSetting, match=said):
        connect_llm(url, "m")


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"retries": -1},
        {"max_tokens": 0},
        {"context_window": 512, "max_tokens": 512},
    ],
)
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(InvalidSetting, match=next(iter(settings))):
        connect_llm("http://localhost/v1", "m", **settings)


def test_a_blank_name_and_a_broken_key_are_refused_without_showing_the_key(monkeypatch):
    with pytest.raises(InvalidSetting, match="needs its name"):
        connect_llm("http://localhost/v1", " ")
    monkeypatch.setenv(API_KEY_ENV, "sek\nrit")
    with pytest.raises(InvalidSetting, match=API_KEY_ENV) as caught:
        connect_llm("http://localhost/v1", "m")
    assert "rit" not in str(caught.value).replace("characters that no HTTP header can hold; was it copied", "")


def test_the_options_go_together():
    assert llm_of(None, None) is None
    assert llm_of("http://localhost:11434", "m").model == "m"
    with pytest.raises(InvalidSetting, match="--llm was given without --llm-model NAME"):
        llm_of("http://localhost:11434", None)
    with pytest.raises(InvalidSetting, match="--llm-model was given without --llm URL"):
        llm_of(None, "m")


def test_importing_the_connection_loads_no_client():
    code = (
        "import sys, llama_index_ko_rerank.answer.llm, llama_index_ko_rerank.cli.console\n"
        "print(sorted({'openai', 'httpx', 'llama_index', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
