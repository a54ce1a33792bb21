"""`/v1/embeddings`, asked in this process."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest

from tests.serve.service_process import TEXTS


def embed(client, **body):
    async def ask():
        async with client:
            return await client.post("/v1/embeddings", json=body)

    return asyncio.run(ask())


def test_vectors_are_the_embedding_s_own_in_both_encodings(client_of, models):
    expected = models.embedding.get_text_embedding_batch(TEXTS)
    numbers = embed(client_of(), input=TEXTS, model="ko-static").json()
    packed = embed(client_of(), input=TEXTS, encoding_format="base64").json()
    assert numbers["object"] == "list"
    assert [part["index"] for part in numbers["data"]] == [0, 1, 2, 3]
    assert [part["embedding"] for part in numbers["data"]] == expected
    unpacked = [np.frombuffer(base64.b64decode(part["embedding"]), "<f4") for part in packed["data"]]
    assert np.array_equal(unpacked, np.array(expected, np.float32))
    assert numbers["usage"]["total_tokens"] == sum(models.embedding.token_count(text) for text in TEXTS)


def test_one_text_gives_one_vector_and_a_question_the_embedding_s_vector_of_a_question(client_of, models):
    answer = embed(client_of(), input=TEXTS[0], input_type="query").json()
    assert [part["embedding"] for part in answer["data"]] == [models.embedding.get_query_embedding(TEXTS[0])]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": [1, 2]}, "token numbers"),
        ({"input": [[1, 2]]}, "token numbers"),
        ({"input": []}, "input"),
        ({"input": "글", "dimensions": 8}, "not shortened"),
        ({"input": "글", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "   "}, "reads no token"),
    ],
)
def test_what_cannot_be_embedded_is_refused_as_openai_says_it(client_of, body, words):
    answer = embed(client_of(), **body)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


def test_the_length_that_vectors_have_may_be_asked_for(client_of, models):
    assert embed(client_of(), input="글", dimensions=models.embedding.dimension).status_code == 200


def test_another_model_is_not_found(client_of):
    answer = embed(client_of(), input="글", model="text-embedding-3-small")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
