"""Pairs are those that the tokenizer itself makes, for the templates of the four families."""

import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import (
    TemplatePairEncoder,
    TokenizerPairEncoder,
    WarnOnce,
    infer_pair_template,
    pair_encoder,
)
from tests.rerank.tiny_tokenizers import TEXTS, learn_tokenizer

MAX_LENGTH = 48
WITH_SEGMENTS = ["input_ids", "token_type_ids", "attention_mask"]
SENTENCES = ["연차는 사흘 전에 신청한다.", "출장비는 이레 안에 청구한다.", "회의실은 하루 전에 예약한다."]
shared_fixtures = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizers_by_family(word_pieces):
    bare = Tokenizer.from_str(word_pieces.to_str())
    bare.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, bare.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return {
        **{family: learn_tokenizer(family, word_pieces) for family in ("bert", "electra", "roberta", "xlm-roberta")},
        "one segment": PreTrainedTokenizerFast(
            tokenizer_object=bare, pad_token="[PAD]", unk_token="[UNK]", model_input_names=WITH_SEGMENTS
        ),
        "no segments named": PreTrainedTokenizerFast(
            tokenizer_object=bare, pad_token="[PAD]", model_input_names=["input_ids", "attention_mask"]
        ),
    }


@pytest.fixture(
    scope="module",
    params=["bert", "electra", "roberta", "xlm-roberta", "one segment", "no segments named"],
)
def tokenizer(request, tokenizers_by_family):
    return tokenizers_by_family[request.param]


@pytest.fixture
def warnings():
    return WarnOnce(logging.getLogger("llama_index_ko_rerank.test"))


@pytest.fixture
def maker(tokenizer, warnings):
    return pair_encoder(tokenizer, max_length=MAX_LENGTH, overflow="window", warnings=warnings)


def rows(made):
    return [(pair.token_ids.tolist(), pair.segment_ids.tolist()) for passage in made for pair in passage.pairs]


def joined(tokenizer, question, passage):
    batch = tokenizer([question], [passage])
    (ids,) = batch["input_ids"]
    return ids, batch["token_type_ids"][0] if "token_type_ids" in batch else [0] * len(ids)


def test_every_family_has_a_template(maker):
    assert isinstance(maker, TemplatePairEncoder)


def test_pairs_are_those_of_the_tokenizer(maker, tokenizer):
    for question in ("연차는 누가", " 앞에 빈칸", "회의실"):
        wanted = [joined(tokenizer, question, text) for text in TEXTS]
        assert rows(maker.pairs(question, TEXTS)) == wanted
        assert rows(maker.pairs(question, TEXTS)) == wanted  # once more, now from memory


@shared_fixtures
@given(question=st.text("연차신청 a1\n", max_size=8), passage=st.text("연차는회의실을 신청b 2.\n", max_size=12))
def test_pairs_of_any_text_are_those_of_the_tokenizer(maker, tokenizer, question, passage):
    assert rows(maker.pairs(question, [passage])) == [joined(tokenizer, question, passage)]


def test_a_long_question_has_half_and_leaves_the_rest_to_the_passage(maker, tokenizer):
    question, passage = "연차 신청 " * 100, "회의실 예약 " * 100
    cut = tokenizer(question, add_special_tokens=False)["input_ids"][: MAX_LENGTH // 2]
    for pair in maker.pairs(question, [passage])[0].pairs:
        assert len(pair) <= MAX_LENGTH
        assert pair.token_ids[1 : 1 + len(cut)].tolist() == cut
    assert len(maker.pairs(question, [passage])[0].pairs[0]) == MAX_LENGTH


def test_windows_hold_the_whole_passage_and_know_their_characters(maker):
    passage = " ".join(SENTENCES * 6)
    made = maker.pairs("연차", [passage])[0]
    assert len(made.pairs) > 1
    assert all(len(pair) <= MAX_LENGTH for pair in made.pairs)
    assert made.spans[0][0] == 0
    assert made.spans[-1][1] == len(passage)
    assert all(before[1] > after[0] for before, after in zip(made.spans, made.spans[1:], strict=False))


def test_a_window_has_the_tokens_of_its_characters(tokenizers_by_family, warnings):
    """Where words have no mark of the space before them, a window is as its text alone would be."""
    maker = pair_encoder(tokenizers_by_family["bert"], max_length=MAX_LENGTH, overflow="window", warnings=warnings)
    passage = " ".join(SENTENCES * 6)
    made = maker.pairs("연차", [passage])[0]
    alone = maker.pairs("연차", [passage[start:end] for start, end in made.spans])
    assert rows([made]) == rows(alone)
    assert {passage[start:end].split()[-1][-1] for start, end in made.spans} == {"."}


def test_truncation_reads_the_beginning_only(tokenizer, warnings, caplog):
    maker = pair_encoder(tokenizer, max_length=MAX_LENGTH, overflow="truncate", warnings=warnings)
    passage = " ".join(SENTENCES * 6)
    with caplog.at_level(logging.INFO):
        short, long = maker.pairs("연차", ["회의실", passage])
    assert (len(short.pairs), len(long.pairs), short.spans) == (1, 1, (None,))
    assert len(long.pairs[0]) == MAX_LENGTH
    (span,) = long.spans
    assert (span[0], span[1] < len(passage)) == (0, True)
    (message,) = caplog.messages
    whole = len(joined(tokenizer, "연차", passage)[0])
    assert message == f"1 of 2 passages were cut to 48 tokens for reranking; the longest has {whole}"


def test_a_passage_that_fits_is_one_pair_without_a_span(maker):
    assert [(len(made.pairs), made.spans) for made in maker.pairs("연차", ["회의실", ""])] == [(1, (None,))] * 2


def test_no_room_for_a_passage_is_refused(tokenizer, warnings):
    with pytest.raises(InvalidSetting, match=r"max_length=8 leaves [01] tokens for a passage"):
        pair_encoder(tokenizer, max_length=8, overflow="window", warnings=warnings)


class TestWithoutATemplate:
    @pytest.fixture
    def backwards(self, word_pieces):
        """A tokenizer that puts the passage first."""
        copy = Tokenizer.from_str(word_pieces.to_str())
        copy.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $B:1 [SEP]:1 $A [SEP]",
            special_tokens=[(name, copy.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=copy, pad_token="[PAD]", unk_token="[UNK]", model_input_names=WITH_SEGMENTS
        )

    def test_the_tokenizer_joins_the_pairs_itself(self, backwards, warnings):
        assert infer_pair_template(backwards) is None
        maker = pair_encoder(backwards, max_length=MAX_LENGTH, overflow="window", warnings=warnings)
        assert isinstance(maker, TokenizerPairEncoder)
        assert rows(maker.pairs("연차는", TEXTS)) == [joined(backwards, "연차는", text) for text in TEXTS]

    def test_long_pairs_are_cut_to_halves_and_counted(self, backwards, warnings, caplog):
        maker = pair_encoder(backwards, max_length=MAX_LENGTH, overflow="window", warnings=warnings)
        with caplog.at_level(logging.INFO):
            _, long = maker.pairs("연차 " * 50, ["회의실", "예약 " * 50])
        assert len(long.pairs[0]) == MAX_LENGTH
        assert 20 <= np.count_nonzero(long.pairs[0].segment_ids) <= 26
        assert caplog.messages[0].startswith("2 of 2 pairs were cut to 48 tokens")
