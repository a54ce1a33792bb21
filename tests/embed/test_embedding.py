import json
import logging
import pickle
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.embed.loading import resolve_dtype
from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText, UnsuitableModel
from tests.embed.tiny_models import (
    DIMENSION,
    save_bert,
    save_sentence_model,
    save_static_model,
    sentences,
    word_tokenizer,
)


@pytest.fixture(scope="module")
def embedding(mean_folder):
    return KoreanEmbedding(mean_folder, device="cpu")


@pytest.fixture(scope="module")
def static(static_folder):
    return KoreanEmbedding(static_folder, device="cpu")


def largest_difference(left, right):
    return float(np.abs(np.asarray(left) - np.asarray(right)).max())


# Prompts


def test_a_question_and_a_passage_get_the_prompts_that_the_folder_says(embedding, mean_folder):
    stock = SentenceTransformer(str(mean_folder), device="cpu")
    assert (embedding.query_instruction, embedding.text_instruction) == ("query: ", "passage: ")
    question, passage = stock.encode(["query: 서울 날씨", "passage: 서울 날씨"], normalize_embeddings=True)
    assert largest_difference(embedding.get_query_embedding("서울 날씨"), question) < 1e-6
    assert largest_difference(embedding.get_text_embedding("서울 날씨"), passage) < 1e-6
    assert largest_difference(question, passage) > 1e-3


def test_an_instruction_of_the_user_wins_and_an_empty_one_means_none(mean_folder):
    plain = KoreanEmbedding(mean_folder, query_instruction="", text_instruction="", device="cpu")
    asked = KoreanEmbedding(mean_folder, query_instruction="passage: ", device="cpu")
    assert plain.get_query_embedding("서울") == plain.get_text_embedding("서울")
    assert asked.get_query_embedding("서울") == asked.get_text_embedding("서울")


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"query": "q ", "passage": "p "}, ("q ", "p ")),
        ({"query": "q ", "document": "d "}, ("q ", "d ")),
        ({"query": "q ", "text": "t "}, ("q ", "t ")),
        ({"query": "", "document": "", "passage": "p "}, ("", "p ")),
        (None, ("", "")),
    ],
)
def test_the_passage_prompt_is_found_under_its_usual_names(tmp_path, prompts, expected):
    folder = save_sentence_model(tmp_path / "model", prompts=prompts)
    model = KoreanEmbedding(folder, device="cpu")
    assert (model.query_instruction, model.text_instruction) == expected


def test_a_default_prompt_of_the_model_stands_before_both(tmp_path):
    folder = save_sentence_model(tmp_path / "model", prompts={"all": "query: "})
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "all"}), encoding="utf-8")
    model = KoreanEmbedding(folder, device="cpu")
    assert (model.query_instruction, model.text_instruction) == ("query: ", "query: ")
    assert KoreanEmbedding(folder, text_instruction="", device="cpu").text_instruction == ""


# Text as it comes


def test_decomposed_hangul_gives_the_vector_of_composed_hangul(embedding, static):
    decomposed = unicodedata.normalize("NFD", "서울 날씨")
    assert decomposed != "서울 날씨"
    for model in (embedding, static):
        assert model.get_text_embedding(decomposed) == model.get_text_embedding("서울 날씨")
        assert model.get_query_embedding(decomposed) == model.get_query_embedding("서울 날씨")
        assert model.get_text_embedding_batch([decomposed]) == model.get_text_embedding_batch(["서울 날씨"])
        assert model.token_count(decomposed) == model.token_count("서울 날씨")


def test_a_lone_surrogate_is_refused_with_its_place_before_any_work(embedding):
    store = SimpleKVStore()
    cached = embedding.model_copy(update={"embeddings_cache": store})
    with pytest.raises(InvalidText, match=r"texts\[41\]"):
        cached.get_text_embedding_batch([*sentences(41), "서\ud800울"])
    assert not store.to_dict()
    with pytest.raises(InvalidText):
        embedding.get_query_embedding("서\ud800울")


@pytest.mark.parametrize("question", ["", "  \n", "\u200b", None])
def test_a_blank_question_is_refused(embedding, question):
    with pytest.raises(BlankQuery):
        embedding.get_query_embedding(question)


def test_a_blank_passage_has_a_vector_where_the_model_reads_something_and_is_refused_elsewhere(embedding, static):
    assert np.linalg.norm(embedding.get_text_embedding("")) == pytest.approx(1, abs=1e-6)
    with pytest.raises(InvalidText, match="1 such of 2 texts"):
        static.get_text_embedding_batch(["서울", " "])


def test_control_characters_are_read_as_spaces(embedding):
    assert embedding.get_text_embedding("서울\x00날씨") == embedding.get_text_embedding("서울 날씨")


def test_a_question_of_a_hundred_thousand_characters_is_cut_and_logged(embedding, caplog):
    with caplog.at_level(logging.WARNING, logger="llama_index_ko_rerank"):
        vector = embedding.get_query_embedding("서울 " * 33_334)
    assert len(vector) == DIMENSION
    assert len(caplog.records) == 1
    assert "1 of 1 texts have more than the 64 tokens" in caplog.text


# Vectors


@given(texts=st.lists(st.text(st.sampled_from("서울 부산 날씨 012")), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_every_vector_is_a_list_of_floats_of_length_one(embedding, texts):
    for vector in embedding.get_text_embedding_batch(texts):
        assert len(vector) == DIMENSION == embedding.dimension
        assert all(type(number) is float for number in vector)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 25), order=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_order_and_batch_size_never_change_a_vector(mean_folder, embedding, seed, batch_size, order):
    texts = sentences(20, seed=seed)
    alone = [embedding.get_text_embedding(text) for text in texts]
    places = list(range(len(texts)))
    order.shuffle(places)
    other = embedding.model_copy(update={"embed_batch_size": batch_size})
    together = other.get_text_embedding_batch([texts[place] for place in places])
    assert largest_difference(together, [alone[place] for place in places]) < 1e-5


def test_a_long_call_pads_hardly_anything_and_keeps_the_order(tmp_path):
    two_poolings = save_sentence_model(tmp_path / "model", pooling=["cls", "mean"], prompts={"passage": "passage: "})
    embedding = KoreanEmbedding(two_poolings, device="cpu")
    assert embedding._encoder.pads
    texts = sentences(1000)
    read, padded = 0, 0

    def measure(_module, inputs):
        nonlocal read, padded
        mask = inputs[0]["attention_mask"]
        read, padded = read + int(mask.sum()), padded + int((mask == 0).sum())

    hook = embedding._model[0].register_forward_pre_hook(measure)
    vectors = embedding.get_text_embedding_batch(texts)
    hook.remove()
    assert read == sum(embedding.token_count(f"passage: {text}") for text in texts)
    assert padded < 0.02 * read
    some = range(0, 1000, 97)
    assert largest_difference([vectors[i] for i in some], [embedding.get_text_embedding(texts[i]) for i in some]) < 1e-5


def test_no_texts_give_no_vectors(embedding):
    assert embedding.get_text_embedding_batch([]) == []


# Pooling, against torch by hand


def token_vectors(model, text):
    """The last hidden states of a text alone, shape (tokens, dimension), without any pooling module."""
    transformer = model._model[0]
    ids = transformer.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        return transformer.model(**ids).last_hidden_state[0]


BY_HAND = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.sum(dim=0) / states.shape[0],
    "max": lambda states: torch.stack([column.max() for column in states.T]),
    "lasttoken": lambda states: states[-1],
}


@pytest.mark.parametrize("pooling", sorted(BY_HAND))
def test_each_pooling_is_what_torch_gives_by_hand_also_beside_longer_texts(bert_folder, pooling):
    model = KoreanEmbedding(bert_folder, pooling=pooling, device="cpu")
    texts = ["서울", "서울 날씨 는 비", "부산 바다 에 눈 이 0 1 2 3 4 5 6 7 8 9"]
    expected = [BY_HAND[pooling](token_vectors(model, text)) for text in texts]
    unit = torch.stack([vector / vector.norm() for vector in expected])
    assert largest_difference(model.get_text_embedding_batch(texts), unit) < 1e-5
    assert model.identity["pooling"] == pooling


def test_the_last_token_is_the_last_one_whatever_the_padding_side(decoder_folder):
    model = KoreanEmbedding(decoder_folder, device="cpu")
    assert decoder_folder.name.endswith(model._model.tokenizer.padding_side)
    texts = ["서울", "서울 날씨 비", "부산 바다 눈 0 1 2 3 4 5 6 7 8 9"]
    expected = torch.stack([token_vectors(model, text)[-1] for text in texts])
    unit = expected / expected.norm(dim=1, keepdim=True)
    assert largest_difference(model.get_text_embedding_batch(texts), unit) < 1e-5
    assert model.identity["pooling"] == "lasttoken"


def test_the_folder_says_how_to_pool_unless_the_user_does(tmp_path):
    folder = save_sentence_model(tmp_path / "model", pooling="cls")
    own, mean = KoreanEmbedding(folder, device="cpu"), KoreanEmbedding(folder, pooling="mean", device="cpu")
    cls_vector = token_vectors(own, "서울 날씨")[0]
    mean_vector = token_vectors(own, "서울 날씨").mean(dim=0)
    assert largest_difference(own.get_text_embedding("서울 날씨"), cls_vector / cls_vector.norm()) < 1e-5
    assert largest_difference(mean.get_text_embedding("서울 날씨"), mean_vector / mean_vector.norm()) < 1e-5
    assert (own.identity["pooling"], mean.identity["pooling"]) == ("cls", "mean")


def test_a_bare_checkpoint_is_pooled_by_the_mean(bert_folder):
    model = KoreanEmbedding(bert_folder, device="cpu")
    vector = token_vectors(model, "서울 날씨").mean(dim=0)
    assert largest_difference(model.get_text_embedding("서울 날씨"), vector / vector.norm()) < 1e-5


def test_a_static_model_has_no_pooling_to_choose(static_folder):
    with pytest.raises(InvalidSetting, match="no pooling"):
        KoreanEmbedding(static_folder, pooling="cls", device="cpu")


# Static embeddings


def test_a_static_vector_is_the_unit_mean_of_its_token_vectors(static, static_folder):
    weights = SentenceTransformer(str(static_folder), device="cpu")[0].embedding.weight.detach()
    ids = word_tokenizer().encode("서울 날씨 비").ids
    mean = weights[ids].mean(dim=0)
    assert len(ids) == static.token_count("서울 날씨 비") == 3
    assert largest_difference(static.get_text_embedding("서울 날씨 비"), mean / mean.norm()) < 1e-6


def test_a_static_model_reads_texts_of_any_length(static, caplog):
    assert static.max_tokens is None
    assert static.max_length is None
    assert static.token_count("서울 " * 5000) == 5000
    with caplog.at_level(logging.WARNING):
        static.get_text_embedding_batch(["서울 " * 5000 + "부산 " * 5000])
    assert not caplog.records


def test_a_static_model_that_was_saved_with_a_limit_keeps_it_and_says_so(tmp_path, caplog):
    tokenizer = word_tokenizer()
    tokenizer.enable_truncation(3)
    weights = torch.randn(tokenizer.get_vocab_size(), DIMENSION)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(
        str(tmp_path / "model")
    )
    model = KoreanEmbedding(tmp_path / "model", device="cpu")
    assert (model.max_tokens, model.token_count("서울 날씨 비 눈 길")) == (3, 5)
    assert model.get_text_embedding("서울 날씨 비 눈 길") == model.get_text_embedding("서울 날씨 비")
    assert "1 of 1 texts have more than the 3 tokens" in caplog.text
    again = KoreanEmbedding.from_dict(model.to_dict())
    assert again.get_text_embedding("서울 날씨 비 눈") == model.get_text_embedding("서울 날씨 비")


# Length


def test_a_text_beyond_the_length_is_cut_and_counted_once_a_call(mean_folder, caplog):
    model = KoreanEmbedding(mean_folder, max_length=8, device="cpu")  # [CLS] passage : and 4 words, [SEP]
    short, long = "서울 부산 날씨 비", "서울 부산 날씨 비 눈 길"
    with caplog.at_level(logging.WARNING, logger="llama_index_ko_rerank"):
        vectors = model.get_text_embedding_batch([long, short, long, *[short] * 60])
    assert largest_difference(vectors[0], vectors[1]) < 1e-6
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "2 of 63 texts have more than the 8 tokens" in caplog.text
    assert "the longest has 10" in caplog.text


def test_tokens_are_counted_with_special_ones_without_the_prompt_and_uncut(embedding):
    assert embedding.token_count("서울 날씨") == 4
    assert embedding.token_count("서울 " * 100) == 102
    assert embedding.max_tokens == embedding.max_length == 64


def test_more_tokens_than_the_model_has_places_for_are_refused(mean_folder):
    with pytest.raises(InvalidSetting, match="at most 64 tokens"):
        KoreanEmbedding(mean_folder, max_length=65, device="cpu")


def test_a_length_that_the_prompt_fills_is_refused(mean_folder):
    with pytest.raises(InvalidSetting, match="no text is read"):
        KoreanEmbedding(mean_folder, max_length=4, device="cpu")


# Number formats


def test_a_half_precision_checkpoint_is_computed_in_float32_by_default(tmp_path):
    folder = save_bert(tmp_path / "model", dtype=torch.bfloat16)
    model = KoreanEmbedding(folder, device="cpu")
    assert {parameter.dtype for parameter in model._model.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_unit_vectors(mean_folder, static_folder, dtype):
    for folder in (mean_folder, static_folder):
        full, half = KoreanEmbedding(folder, device="cpu"), KoreanEmbedding(folder, dtype=dtype, device="cpu")
        vector = half.get_text_embedding("서울 날씨 비")
        assert np.dot(vector, full.get_text_embedding("서울 날씨 비")) > 0.99
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert {parameter.dtype for parameter in half._model.parameters()} == {getattr(torch, dtype)}


def test_auto_is_float32_on_a_processor(embedding, mean_folder):
    auto = KoreanEmbedding(mean_folder, dtype="auto", device="cpu")
    assert auto.get_text_embedding("서울") == embedding.get_text_embedding("서울")


def test_auto_takes_sixteen_bits_on_an_accelerator_only():
    assert resolve_dtype("auto", "cpu") == torch.float32
    assert resolve_dtype("auto", "mps") == torch.float16
    assert resolve_dtype("bfloat16", "cpu") == torch.bfloat16


def test_a_vector_that_is_no_number_is_refused_and_never_returned(tmp_path):
    folder = save_static_model(tmp_path / "model")
    model = KoreanEmbedding(folder, device="cpu")
    with torch.no_grad():
        model._model[0].embedding.weight.fill_(float("nan"))
    with pytest.raises(UnsuitableModel, match="NaN"):
        model.get_text_embedding("서울")


# Settings in and out


@pytest.mark.parametrize("folder_name", ["mean_folder", "static_folder", "bert_folder"])
def test_a_dictionary_and_json_give_the_same_model_again(folder_name, request):
    model = KoreanEmbedding(request.getfixturevalue(folder_name), embed_batch_size=7, device="cpu")
    saved = model.to_dict()
    assert saved["class_name"] == KoreanEmbedding.class_name() == "KoreanEmbedding"
    for again in (KoreanEmbedding.from_dict(saved), KoreanEmbedding.from_json(model.to_json())):
        assert again.to_dict() == saved
        assert again.get_text_embedding("서울 날씨") == model.get_text_embedding("서울 날씨")
        assert again.get_query_embedding("서울 날씨") == model.get_query_embedding("서울 날씨")


def test_settings_of_the_user_survive_the_round_trip(mean_folder):
    given_settings = {"pooling": "max", "max_length": 16, "dtype": "bfloat16", "query_instruction": "", "device": "cpu"}
    model = KoreanEmbedding(mean_folder, **given_settings)
    again = KoreanEmbedding.from_json(model.to_json())
    assert {name: getattr(again, name) for name in given_settings} == given_settings
    assert again.get_query_embedding("서울") == model.get_query_embedding("서울")


def test_a_cache_is_left_out_of_the_dictionary(mean_folder):
    model = KoreanEmbedding(mean_folder, embeddings_cache=SimpleKVStore(), device="cpu")
    assert "embeddings_cache" not in json.loads(model.to_json())


def test_a_pickle_holds_the_settings_and_loads_the_model_again(embedding):
    pickled = pickle.dumps(embedding)
    assert len(pickled) < 5000
    again = pickle.loads(pickled)  # noqa: S301
    assert again.get_query_embedding("서울") == embedding.get_query_embedding("서울")


def test_a_deep_copy_shares_the_model_and_not_the_settings(embedding):
    copied = deepcopy(embedding)
    copied.embed_batch_size = 1
    assert embedding.embed_batch_size == 32
    assert copied._model is embedding._model
    assert copied.get_query_embedding("서울") == embedding.get_query_embedding("서울")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_lenght": 3}, "did you mean 'max_length'"),
        ({"tokenizer_name": "x"}, "no setting 'tokenizer_name'"),
        ({"pooling": "average"}, "no pooling 'average'; known: cls, lasttoken, max, mean"),
        ({"pooling": "last_token"}, "did you mean 'lasttoken'"),
        ({"dtype": "float8"}, "no dtype 'float8'"),
        ({"max_length": 0}, "max_length"),
        ({"embed_batch_size": 0}, "embed_batch_size"),
        ({"embed_batch_size": 4096}, "1-2048"),
        ({"normalize": False}, "unit vectors"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used"),
        ({"revision": "main"}, "says nothing about the folder"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(mean_folder, wrong, message):
    with pytest.raises(InvalidSetting, match=message):
        KoreanEmbedding(mean_folder, **{"device": "cpu"} | wrong)


# LlamaIndex


def test_it_stands_where_a_huggingface_embedding_stands(embedding):
    assert isinstance(embedding, HuggingFaceEmbedding)
    texts = ["서울 날씨 비", "부산 바다 길", "회사 휴가 규정"]
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=embedding)
    plain = embedding.model_copy(update={"query_instruction": "passage: "})
    for text in texts:
        found = index.as_retriever(similarity_top_k=1, embed_model=plain).retrieve(text)
        assert [hit.text for hit in found] == [text]
    nodes = embedding([TextNode(text=texts[0])])
    assert largest_difference(nodes[0].embedding, embedding.get_text_embedding(texts[0])) < 1e-6


def test_a_cache_never_gives_a_passage_vector_to_a_question(mean_folder, embedding):
    cached = KoreanEmbedding(mean_folder, embeddings_cache=SimpleKVStore(), device="cpu")
    passage, question = embedding.get_text_embedding("서울"), embedding.get_query_embedding("서울")
    for _ in range(2):
        assert cached.get_text_embedding("서울") == passage
        assert cached.get_query_embedding("서울") == question
    assert largest_difference(cached.get_text_embedding_batch(["부산", "서울"])[1], passage) < 1e-6
    other_way = KoreanEmbedding(mean_folder, embeddings_cache=SimpleKVStore(), device="cpu")
    assert other_way.get_query_embedding("서울") == question
    assert other_way.get_text_embedding("서울") == passage


def test_a_cache_is_used_for_passages(mean_folder):
    store = SimpleKVStore()
    cached = KoreanEmbedding(mean_folder, embeddings_cache=store, device="cpu")
    texts = sentences(50)
    vectors = cached.get_text_embedding_batch(texts)
    with torch.no_grad():
        cached._model[0].model.encoder.layer[0].output.dense.weight.fill_(float("nan"))
    assert cached.get_text_embedding_batch(texts) == vectors
    with pytest.raises(UnsuitableModel, match="NaN"):
        cached.get_text_embedding("a text that is not cached")


def test_images_are_refused(embedding):
    with pytest.raises(UnsuitableModel, match="embeds text"):
        embedding.get_image_embedding("picture.png")
    with pytest.raises(UnsuitableModel, match="embeds text"):
        embedding.get_image_embedding_batch(["picture.png"])


def test_many_threads_get_the_vectors_that_one_gets(embedding):
    texts = sentences(24)
    alone = [embedding.get_text_embedding(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        passages = list(pool.map(embedding.get_text_embedding, texts))
        counts = list(pool.map(embedding.token_count, texts))
        batches = list(pool.map(embedding.get_text_embedding_batch, [texts] * 4))
    assert largest_difference(passages, alone) < 1e-5
    assert counts == [embedding.token_count(text) for text in texts]
    assert max(largest_difference(batch, alone) for batch in batches) < 1e-5
    assert all(left == right for left, right in pairwise(batches))
