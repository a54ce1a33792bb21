from __future__ import annotations

import logging

import pytest

from llama_index_ko_rerank.answer.context_window import FittingSources, fit_sources
from llama_index_ko_rerank.errors import UnsuitableModel


def fit(texts, max_tokens, tokens_around=2):
    return fit_sources(texts, max_tokens=max_tokens, tokens_around=tokens_around, count_tokens=len)


def test_all_sources_stay_where_they_fit_to_the_token(caplog):
    assert fit(["가" * 8, "나" * 8], 20) == FittingSources(["가" * 8, "나" * 8])
    assert caplog.records == []


def test_whole_sources_are_left_out_from_the_end_and_logged_once(caplog):
    with caplog.at_level(logging.WARNING):
        # The third would fit beside the first, but it is after the second, which does not.
        assert fit(["가" * 8, "나" * 8, "다"], 19) == FittingSources(["가" * 8])
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 sources were left out: all of them take more than the 19 tokens that the LLM has for sources"
    ]


def test_a_first_source_that_does_not_fit_is_cut_after_a_sentence(caplog):
    text = "비가 온다. 눈이 온다. 바람이 분다."
    with caplog.at_level(logging.WARNING):
        assert fit([text, "다"], 16) == FittingSources(["비가 온다. 눈이 온다."], cut=True)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 2 sources were left out: all of them take more than the 16 tokens that the LLM has for sources",
        "the best source was cut from 21 characters to 13 to fit the LLM",
    ]


def test_a_first_sentence_that_does_not_fit_is_an_error():
    with pytest.raises(UnsuitableModel, match="its first sentence alone takes more"):
        fit(["비가 온다. 눈이 온다."], 7)


def test_no_sources_are_no_sources():
    assert fit([], 10) == FittingSources([])
