import asyncio
import threading

import pytest
from llama_index.core.storage.kvstore import SimpleKVStore

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import BlankQuery, InvalidText
from tests.embed.tiny_models import sentences


@pytest.fixture(scope="module")
def embedding(mean_folder):
    return KoreanEmbedding(mean_folder, device="cpu")


def test_the_asynchronous_methods_give_the_same_vectors(embedding):
    texts = sentences(70)

    async def ask():
        return await asyncio.gather(
            embedding.aget_query_embedding("서울 날씨"),
            embedding.aget_text_embedding("서울 날씨"),
            embedding.aget_text_embedding_batch(texts),
        )

    question, passage, passages = asyncio.run(ask())
    assert question == embedding.get_query_embedding("서울 날씨")
    assert passage == embedding.get_text_embedding("서울 날씨")
    assert passages == embedding.get_text_embedding_batch(texts)


def test_bad_input_is_refused_asynchronously_too(embedding):
    with pytest.raises(BlankQuery):
        asyncio.run(embedding.aget_query_embedding(" "))
    with pytest.raises(InvalidText, match=r"texts\[1\]"):
        asyncio.run(embedding.aget_text_embedding_batch(["서울", "\udfff"]))


def test_the_event_loop_runs_on_while_a_long_call_computes(embedding, monkeypatch):
    computing, released = threading.Event(), threading.Event()
    embed = KoreanEmbedding._get_text_embeddings

    def embed_when_released(self, texts):
        computing.set()
        assert released.wait(30)  # the loop releases it, which a loop that computes cannot
        return embed(self, texts)

    monkeypatch.setattr(KoreanEmbedding, "_get_text_embeddings", embed_when_released)

    async def ask():
        vectors = asyncio.create_task(embedding.aget_text_embedding_batch(["서울", "날씨"]))
        while not computing.is_set():
            await asyncio.sleep(0.001)
        assert not vectors.done()
        released.set()
        return await vectors

    assert len(asyncio.run(ask())) == 2


def test_a_cache_never_gives_a_passage_vector_to_an_asynchronous_question(mean_folder, embedding):
    cached = KoreanEmbedding(mean_folder, embeddings_cache=SimpleKVStore(), device="cpu")

    async def ask():
        return await cached.aget_text_embedding("서울"), await cached.aget_query_embedding("서울")

    assert asyncio.run(ask()) == (embedding.get_text_embedding("서울"), embedding.get_query_embedding("서울"))
