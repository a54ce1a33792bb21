"""`/rerank` and its sisters, asked in this process."""

from __future__ import annotations

import asyncio

import pytest

from tests.serve.service_process import QUESTION, TEXTS

APPROXIMATELY = {"abs": 1e-5}


def post(client, path, body):
    async def ask():
        async with client:
            return await client.post(path, json=body)

    return asyncio.run(ask())


def test_texts_are_answered_as_tei_does_best_first(client_of, direct):
    answer = post(client_of(), "/rerank", {"query": QUESTION, "texts": TEXTS})
    assert answer.status_code == 200
    ranks = answer.json()
    assert [set(rank) for rank in ranks] == [{"index", "score"}] * 4
    assert ranks[0]["index"] == 1
    expected = direct(QUESTION, TEXTS)
    assert [rank["score"] for rank in ranks] == pytest.approx(sorted(expected, reverse=True), **APPROXIMATELY)
    assert all(rank["score"] == pytest.approx(expected[rank["index"]], **APPROXIMATELY) for rank in ranks)


def test_raw_scores_are_logits_and_texts_come_back_on_request(client_of, models):
    body = {"query": QUESTION, "texts": TEXTS, "raw_scores": True, "return_text": True, "truncate": True}
    ranks = post(client_of(), "/rerank", body).json()
    logits = models.scorer.logits(QUESTION, TEXTS)
    for rank in ranks:
        assert rank["text"] == TEXTS[rank["index"]]
        assert rank["score"] == pytest.approx(logits[rank["index"]], **APPROXIMATELY)


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_are_answered_as_cohere_does(client_of, direct, path):
    documents = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2], {"text": TEXTS[3]}]
    body = {"query": QUESTION, "documents": documents, "top_n": 2, "return_documents": True, "model": "ko-mini-rerank"}
    answer = post(client_of(), path, body).json()
    assert answer["model"] == "ko-mini-rerank"
    assert len(answer["results"]) == 2
    best = answer["results"][0]
    assert best["index"] == 1
    assert best["document"] == {"text": TEXTS[1]}
    assert best["relevance_score"] == pytest.approx(direct(QUESTION, TEXTS)[1], **APPROXIMATELY)


def test_equal_texts_keep_the_order_in_which_they_came(client_of):
    ranks = post(client_of(), "/rerank", {"query": QUESTION, "texts": [TEXTS[2], TEXTS[1], TEXTS[2], TEXTS[1]]}).json()
    assert [rank["index"] for rank in ranks] == [1, 3, 0, 2]


@pytest.mark.parametrize("blank", ["", "  \n", "\u200b"])
def test_a_blank_text_comes_last_with_nothing(client_of, models, blank):
    texts = [blank, *TEXTS]
    ranks = post(client_of(), "/rerank", {"query": QUESTION, "texts": texts}).json()
    assert ranks[-1] == {"index": 0, "score": 0.0}
    raw = post(client_of(), "/rerank", {"query": QUESTION, "texts": texts, "raw_scores": True}).json()
    assert raw[-1]["score"] == pytest.approx(models.scorer.logits(QUESTION, TEXTS).min() - 1, **APPROXIMATELY)


def test_nothing_but_blank_texts_is_no_error(client_of):
    ranks = post(client_of(), "/rerank", {"query": QUESTION, "texts": ["", " "]}).json()
    assert ranks == [{"index": 0, "score": 0.0}, {"index": 1, "score": 0.0}]


def test_requests_that_come_together_get_the_scores_that_they_get_alone(client_of, direct):
    questions = [f"{QUESTION} ({number})" for number in range(24)]

    async def ask_all():
        async with client_of() as client:
            bodies = [
                {"query": question, "texts": TEXTS[: 1 + place % len(TEXTS)]}
                for place, question in enumerate(questions)
            ]
            return await asyncio.gather(*(client.post("/rerank", json=body) for body in bodies))

    for place, (question, answer) in enumerate(zip(questions, asyncio.run(ask_all()), strict=True)):
        expected = direct(question, TEXTS[: 1 + place % len(TEXTS)])
        scores = {rank["index"]: rank["score"] for rank in answer.json()}
        assert [scores[index] for index in range(len(expected))] == pytest.approx(expected, **APPROXIMATELY)


def test_a_body_of_both_shapes_or_neither_is_refused_in_words_for_all_clients(client_of):
    for body in ({"query": QUESTION}, {"query": QUESTION, "texts": TEXTS, "documents": TEXTS}):
        answer = post(client_of(), "/rerank", body)
        assert answer.status_code == 422
        failure = answer.json()
        assert "either 'texts'" in failure["error"]
        assert failure["error_type"] == "Validation"
        assert failure["detail"] == failure["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": QUESTION, "texts": []}, "texts"),
        ({"query": QUESTION, "texts": [1]}, "texts.0"),
        ({"query": "  ", "texts": ["글"]}, "blank"),
        ({"query": QUESTION, "texts": ["글"], "top_k": 3}, "top_k"),
        ({"query": QUESTION, "documents": ["글"], "top_n": 0}, "top_n"),
        ({"query": QUESTION, "documents": ["글"], "top_n": "2"}, "top_n"),
        ({"query": QUESTION, "documents": [{"title": "글"}]}, "documents.0"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(client_of, body, words):
    answer = post(client_of(), "/rerank", body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_another_model_than_the_served_one_is_refused(client_of):
    answer = post(client_of(), "/v2/rerank", {"query": QUESTION, "documents": TEXTS, "model": "rerank-v3.5"})
    assert answer.status_code == 404
    assert "'rerank-v3.5' is not served here" in answer.json()["detail"]
    assert "'ko-mini-rerank'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"[[", 400), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b'{"query": "\\ud800", "texts": ["a"]}', 422)],
)
def test_a_body_that_is_no_text_or_no_json_is_no_crash(client_of, content, status):
    async def ask():
        async with client_of() as client:
            return await client.post("/rerank", content=content, headers={"Content-Type": "application/json"})

    assert asyncio.run(ask()).status_code == status
