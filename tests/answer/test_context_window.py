from __future__ import annotations

import logging

import pytest

from llama_index_ko_rerank.answer.context_window import SourceBatches, batch_sources
from llama_index_ko_rerank.errors import UnsuitableModel


def fit(texts, max_tokens, later=0, tokens_around=2):
    return batch_sources(
        texts, max_tokens=max_tokens, max_tokens_later=later, tokens_around=tokens_around, count_tokens=len
    )


def test_all_sources_stay_where_they_fit_to_the_token(caplog):
    assert fit(["가" * 8, "나" * 8], 20) == SourceBatches([["가" * 8, "나" * 8]])
    assert caplog.records == []


def test_whole_sources_are_left_out_from_the_end_and_logged_once(caplog):
    with caplog.at_level(logging.WARNING):
        # The third would fit beside the first, but it is after the second, which does not.
        assert fit(["가" * 8, "나" * 8, "다"], 19) == SourceBatches([["가" * 8]])
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 sources were left out: the LLM has 19 tokens for sources in the first prompt, 0 in a later one"
    ]


def test_a_first_source_that_does_not_fit_is_cut_after_a_sentence(caplog):
    text = "비가 온다. 눈이 온다. 바람이 분다."
    with caplog.at_level(logging.WARNING):
        assert fit([text, "다"], 16) == SourceBatches([["비가 온다. 눈이 온다."]], cut=True)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 2 sources were left out: the LLM has 16 tokens for sources in the first prompt, 0 in a later one",
        "the best source was cut from 21 characters to 13 to fit the LLM",
    ]


def test_a_first_sentence_that_does_not_fit_is_an_error():
    with pytest.raises(UnsuitableModel, match="its first sentence alone takes more"):
        fit(["비가 온다. 눈이 온다."], 7)


def test_no_sources_are_no_sources():
    assert fit([], 10) == SourceBatches([])


def test_what_does_not_fit_the_first_prompt_goes_into_the_next_ones_three_in_all(caplog):
    texts = [name * 8 for name in "가나다라마"]
    batches = fit(texts, 20, later=10)
    assert batches == SourceBatches([["가" * 8, "나" * 8], ["다" * 8], ["라" * 8]])
    assert batches.kept == 4
    assert "1 of 5 sources were left out" in caplog.text


def test_a_source_that_fits_no_prompt_ends_the_batches():
    assert fit(["가" * 8, "나" * 30, "다"], 20, later=10) == SourceBatches([["가" * 8]])
