from __future__ import annotations

import pytest

from llama_index_ko_rerank.answer.read_passage import forget_passages, read_passage
from llama_index_ko_rerank.errors import InvalidText
from tests.corpora.answers import CANTEEN


def test_a_passage_is_its_sentences_with_the_words_of_each():
    read = read_passage(CANTEEN)
    assert [CANTEEN[sentence.start : sentence.end] for sentence in read.sentences] == [
        sentence.text for sentence in read.sentences
    ]
    assert len(read.sentences) == len(read.words) == 3
    assert {"점심", "11", "30"} <= read.words[1]


def test_a_passage_is_read_once_until_it_is_forgotten():
    first = read_passage(CANTEEN)
    assert read_passage(CANTEEN) is first
    forget_passages()
    assert read_passage(CANTEEN) is not first
    assert read_passage(CANTEEN) == first


def test_a_long_passage_is_not_kept_in_memory():
    text = CANTEEN * 100
    assert len(text) > 4000
    assert read_passage(text) is not read_passage(text)


def test_lone_surrogates_are_refused():
    with pytest.raises(InvalidText):
        read_passage("한\ud800글")
