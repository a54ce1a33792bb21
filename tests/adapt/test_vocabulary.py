"""The words of a corpus become tokens, and rare ones count more."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from llama_index_ko_rerank.adapt.static_embedding import add_random_index, corpus_words, extend_vocabulary

TEXTS = ["물나래호는 다올섬으로 간다. 요금은 싸다.", "물나래호는 아침에 떠난다. 요금은 비싸다.", "요금은 바뀐다."]


@pytest.fixture
def tokenizer():
    pieces = ["[UNK]", *sorted({*"".join(TEXTS), *"국무장관"} - {" "})]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, *(f"##{piece}" for piece in pieces[1:])])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def test_nouns_that_stand_twice_are_words_of_the_corpus():
    words = corpus_words(TEXTS)
    assert words[0] == "요금"
    assert "다올섬" not in words


def test_a_new_word_is_one_token_and_remembers_its_pieces(tokenizer):
    before = tokenizer.encode("국무").ids
    larger, pieces = extend_vocabulary(tokenizer, ["국무"])
    assert larger.encode("국무장").tokens == ["국무", "##장"]
    assert larger.encode("장국무").tokens == ["장", "##국무"]
    assert pieces[0] == before
    assert tokenizer.encode("국무").ids == before  # the one handed in is as it was


def test_a_word_that_cannot_be_cut_is_left_out(tokenizer):
    _, pieces = extend_vocabulary(tokenizer, ["힣국"])
    assert pieces == []


def test_a_tokenizer_of_another_kind_stays(tokenizer):
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    assert extend_vocabulary(words, ["국무"]) == (words, [])


def test_a_known_direction_stays_and_rare_tokens_are_longer(tokenizer):
    vectors = torch.randn(tokenizer.get_vocab_size(), 8, generator=torch.Generator().manual_seed(0))
    model = add_random_index(StaticEmbedding(tokenizer, embedding_weights=vectors), TEXTS, dimensions=4, seed=0)
    weights = model[0].embedding.weight.detach()
    assert weights.shape[1] == 12
    kept = torch.nn.functional.cosine_similarity(weights[: len(vectors), :8], vectors)
    lengths = weights[:, :8].norm(dim=1)
    assert torch.allclose(kept, torch.ones(len(kept)), atol=1e-5)
    tokens = model[0].tokenizer
    in_every_text, in_one = lengths[tokens.token_to_id("요금")], lengths[tokens.token_to_id("아")]
    assert in_one / in_every_text == pytest.approx(math.log(4 / 1.5) / math.log(4 / 3.5), rel=1e-3)


def test_the_same_seed_gives_the_same_directions(tokenizer):
    module = StaticEmbedding(tokenizer, embedding_weights=torch.eye(tokenizer.get_vocab_size()))
    first, second = (add_random_index(module, TEXTS, dimensions=4, seed=3)[0].embedding.weight for _ in range(2))
    assert np.array_equal(first.detach().numpy(), second.detach().numpy())
