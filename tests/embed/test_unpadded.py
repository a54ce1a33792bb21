"""Embeddings without padding against `SentenceTransformer.encode` with the same weights."""

import logging

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

from llama_index_ko_rerank.embed import KoreanEmbedding, identity_differences
from llama_index_ko_rerank.errors import InvalidSetting
from tests.embed.tiny_models import DIMENSION, sentences, wordpiece_tokenizer

FAMILIES = {
    "bert": (BertConfig, BertModel),
    "roberta": (RobertaConfig, RobertaModel),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
}


@pytest.fixture(scope="module")
def family_folder(tmp_path_factory):
    def save(family, pooling="mean", more=()):
        config_class, model_class = FAMILIES[family]
        tokenizer = wordpiece_tokenizer()
        torch.manual_seed(3)
        config = config_class(
            vocab_size=len(tokenizer),
            hidden_size=DIMENSION,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=66,
            pad_token_id=0,
            type_vocab_size=2,
            initializer_range=0.5,
        )
        bare, folder = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp(family)
        model_class(config).eval().save_pretrained(bare)
        tokenizer.save_pretrained(bare)
        modules = [Transformer(str(bare)), Pooling(DIMENSION, pooling), *more, Normalize()]
        SentenceTransformer(modules=modules, prompts={"query": "query: "}, device="cpu").save(str(folder))
        return folder

    return save


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_sentence_transformers_in_the_order_given(family_folder, family, pooling):
    folder = family_folder(family, pooling)
    ours, stock = KoreanEmbedding(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")
    assert not ours._encoder.pads
    texts = [*sentences(60, seed=5), "서울 " * 200, "비"]
    expected = stock.encode(texts)
    assert np.abs(np.array(ours.get_text_embedding_batch(texts)) - expected).max() < 1e-5
    assert np.abs(np.array(ours.get_text_embedding_batch(["비"])) - expected[-1:]).max() < 1e-5
    assert ours.get_text_embedding_batch([]) == []
    assert np.abs(np.array(ours.get_query_embedding("서울")) - stock.encode_query("서울")).max() < 1e-5


def test_bfloat16_is_near_float32(family_folder):
    folder = family_folder("bert")
    texts = sentences(20, seed=6)
    exact = np.array(KoreanEmbedding(folder, device="cpu").get_text_embedding_batch(texts))
    half = KoreanEmbedding(folder, dtype="bfloat16", device="cpu")
    assert not half._encoder.pads
    assert (np.array(half.get_text_embedding_batch(texts)) * exact).sum(axis=1).min() > 0.99


def test_a_model_that_does_more_than_pool_stays_on_the_librarys_path(family_folder, decoder_folder):
    dense = Dense(DIMENSION, DIMENSION)
    folder = family_folder("bert", more=[dense])
    ours, stock = KoreanEmbedding(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")
    assert ours._encoder.pads
    assert KoreanEmbedding(decoder_folder, device="cpu")._encoder.pads
    texts = sentences(10)
    assert np.abs(np.array(ours.get_text_embedding_batch(texts)) - stock.encode(texts)).max() < 1e-5


# Windows


@pytest.fixture(scope="module")
def windowed(mean_folder):
    return KoreanEmbedding(mean_folder, max_length=16, overflow="window", device="cpu")


def test_a_long_text_is_the_mean_of_its_windows_by_their_tokens(windowed, caplog):
    words = ["서울", "부산", "날씨", "비", "눈", "바다", "산", "길", "학교", "공부", "운동", "잠", "기차"]
    with caplog.at_level(logging.WARNING):
        vector = windowed.get_text_embedding(" ".join(words))
    assert not caplog.records  # nothing is cut
    # [CLS] passage : [SEP] and four of margin leave 8 words of 16 tokens, so 13 words are windows of 6 and 7
    parts = [windowed.get_text_embedding(" ".join(part)) for part in (words[:6], words[6:])]
    mean = 6 * np.array(parts[0]) + 7 * np.array(parts[1])
    assert np.abs(np.array(vector) - mean / np.linalg.norm(mean)).max() < 1e-6


def test_a_text_that_fits_has_the_vector_that_it_has_without_windows(windowed, mean_folder):
    cut = KoreanEmbedding(mean_folder, max_length=16, device="cpu")
    texts = ["서울 날씨", "", "비"]
    difference = np.array(windowed.get_text_embedding_batch(texts)) - cut.get_text_embedding_batch(texts)
    assert np.abs(difference).max() < 1e-6
    long = "서울 " * 30 + "부산 " * 30
    assert np.dot(windowed.get_text_embedding(long), cut.get_text_embedding(long)) < 0.999


def test_windows_are_part_of_the_identity_and_of_the_settings(windowed, mean_folder):
    cut = KoreanEmbedding(mean_folder, max_length=16, device="cpu")
    assert identity_differences(windowed.identity, cut.identity) == ("overflow",)
    assert KoreanEmbedding.from_dict(windowed.to_dict()).identity == windowed.identity
    with pytest.raises(InvalidSetting, match="did you mean 'window'"):
        KoreanEmbedding(mean_folder, overflow="windows", device="cpu")
