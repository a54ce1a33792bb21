import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings, InvertedIndex
from llama_index_ko_rerank.scale.qdrant.manifest import Manifest, read_manifest
from llama_index_ko_rerank.scale.qdrant.sparse import (
    SparseEncoder,
    TokenCounts,
    count_texts,
    mean_lengths_of,
    question_vector,
    token_number,
)

TOKENS = st.lists(st.sampled_from(["연차", "출장", "식대", "회의", "신청"]), min_size=1, max_size=8)


def test_a_token_has_the_same_number_everywhere():
    # What `printf abc | b2sum -l 32` says.
    assert token_number("abc") == int("63906248", 16)
    assert 0 <= token_number("연차") < 2**32


def test_a_weight_is_the_token_frequency_saturated_by_length():
    encoder = SparseEncoder({"morphemes": 4.0, "bigrams": 1.0}, settings=BM25Settings(k1=0.5, b=0.5))
    vector = encoder.passage("morphemes", TokenCounts.of(["연차", "연차", "신청", "출장", "식대", "회의"]))
    # 6 tokens of 4 in the mean: 0.5 * (1 - 0.5 + 0.5 * 6 / 4) = 0.625
    weights = dict(zip(vector.indices, vector.values, strict=True))
    assert weights[token_number("연차")] == pytest.approx(2 / 2.625)
    assert weights[token_number("신청")] == pytest.approx(1 / 1.625)


@settings(deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=6), TOKENS)
def test_the_inner_product_with_the_idf_is_our_bm25(documents, question):
    postings = InvertedIndex()
    postings.add(documents)
    counts = [TokenCounts.of(tokens) for tokens in documents]
    mean = mean_lengths_of({"morphemes": counts, "bigrams": counts})
    encoder = SparseEncoder(mean)
    asked = question_vector(question)
    scores = []
    for one in counts:
        vector = encoder.passage("morphemes", one)
        weights = dict(zip(vector.indices, vector.values, strict=True))
        total = 0.0
        for number, times in zip(asked.indices, asked.values, strict=True):
            having = sum(number in other.numbers for other in counts)
            idf = math.log(1 + (len(counts) - having + 0.5) / (having + 0.5))
            total += times * idf * weights.get(number, 0.0)
        scores.append(total)
    assert scores == pytest.approx(postings.scores(question).tolist(), rel=1e-5, abs=1e-6)


def test_mean_lengths_count_repeats_and_passages_without_tokens():
    counts = count_texts(["연차 연차", "!"])
    assert mean_lengths_of(counts) == {"morphemes": 1.0, "bigrams": 1.5}
    assert mean_lengths_of(count_texts(["!"])) == {"morphemes": 1.0, "bigrams": 1.0}


def test_a_mean_length_is_asked_for_in_every_view():
    with pytest.raises(InvalidSetting, match=r"'bigrams'.*mean_lengths_of"):
        SparseEncoder({"morphemes": 3.0})


def test_the_words_of_the_users_own_are_recorded_with_the_collection():
    words = [("한들소프트", "NNP")]
    encoder = SparseEncoder({"morphemes": 4.0, "bigrams": 8.0}, user_words=words, settings=BM25Settings(0.9, 0.4))
    manifest = Manifest({"model": "m"}, 3, encoder.identity, encoder.mean_lengths, [list(words[0])], 0.9, 0.4)
    again = read_manifest(manifest.completed().to_metadata(), "notices").encoder()
    assert again.morphemes.user_words == tuple(words)
    assert (again.settings, again.mean_lengths) == (encoder.settings, encoder.mean_lengths)
