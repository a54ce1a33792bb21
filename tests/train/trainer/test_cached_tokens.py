from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.models.scratch import static_model
from llama_index_ko_rerank.train.trainer.batching import CachedTokenCollator
from tests.corpora.training import notice_board

MODEL = static_model(read_rows(notice_board()).texts, seed=0)


@given(st.lists(st.text("시장박물관 열고", max_size=12), min_size=1, max_size=6))
def test_the_ids_are_the_library_s_whether_remembered_or_not(texts):
    remembered = CachedTokenCollator(MODEL[0])
    expected = MODEL[0].preprocess(texts)

    for _ in range(2):
        found = remembered(texts)
        assert torch.equal(found["input_ids"], expected["input_ids"])
        assert torch.equal(found["offsets"], expected["offsets"])


def test_a_text_with_a_prompt_is_another_text():
    remembered = CachedTokenCollator(MODEL[0])

    plain, prompted = remembered(["시장"]), remembered(["시장"], prompt="질문: ")

    assert torch.equal(prompted["input_ids"], MODEL[0].preprocess(["질문: 시장"])["input_ids"])
    assert not torch.equal(plain["input_ids"], prompted["input_ids"])


def test_a_text_is_tokenised_once():
    class Counting:
        def __init__(self, tokenizer):
            self.tokenizer, self.asked = tokenizer, []

        def encode_batch(self, texts, **options):
            self.asked += texts
            return self.tokenizer.encode_batch(texts, **options)

    counting = Counting(MODEL[0].tokenizer)
    remembered = CachedTokenCollator(SimpleNamespace(tokenizer=counting))
    remembered(["시장", "극장", "시장"])
    remembered(["극장", "온천"])

    assert counting.asked == ["시장", "극장", "온천"]


@pytest.mark.parametrize("texts", [[""], ["", ""]])
def test_blank_texts_have_no_tokens(texts):
    found = CachedTokenCollator(MODEL[0])(texts)

    assert found["input_ids"].tolist() == []
    assert found["offsets"].tolist() == [0] * len(texts)
