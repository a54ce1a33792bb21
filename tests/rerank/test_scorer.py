import gc
import logging
import unicodedata
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting, InvalidText
from llama_index_ko_rerank.rerank.scorer import CrossEncoderScorer, ScorerSettings, load_scorer

QUESTION = "연차는 누구에게 신청하나"
shared_fixtures = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def scorer(model):
    return load_scorer(ScorerSettings(model, "cpu"))


@pytest.fixture
def passages(texts):
    """Passages of many lengths, one of them longer than the model reads."""
    return [*texts, "연차", " ".join(texts[:2]), " ".join(texts * 3), "바다거북 😀", "연차, 연차!"]


def test_logits_are_those_of_sentence_transformers(scorer, stock, passages):
    probabilities = stock.predict([(QUESTION, text) for text in passages], show_progress_bar=False)
    logits = scorer.logits(QUESTION, passages)
    assert logits.dtype == np.float64
    assert logits.shape == (len(passages),)
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(probabilities, abs=1e-5)


def test_the_passages_of_this_model_have_scores_that_differ(scorer, texts):
    assert np.ptp(scorer.logits(QUESTION, texts)) > 0.01
    assert np.abs(scorer.logits(QUESTION, texts) - scorer.logits("출장비", texts)).max() > 0.01


@shared_fixtures
@given(batch_size=st.integers(1, 12), order=st.permutations(range(11)))
def test_neither_batch_size_nor_order_changes_a_score(scorer, passages, batch_size, order):
    one_by_one = np.concatenate([scorer.logits(QUESTION, [text]) for text in passages])
    mixed = scorer.logits(QUESTION, [passages[place] for place in order], batch_size=batch_size)
    assert mixed == pytest.approx(one_by_one[list(order)], abs=1e-5)


def test_no_passages_have_no_logits(scorer):
    assert scorer.logits(QUESTION, []).shape == (0,)


def test_equal_passages_have_equal_logits(scorer, texts):
    assert len(set(scorer.logits(QUESTION, [texts[0]] * 5, batch_size=5))) == 1


def test_decomposed_and_full_width_texts_score_as_composed_ones(scorer, texts):
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert scorer.logits(unicodedata.normalize("NFD", QUESTION), decomposed) == pytest.approx(
        scorer.logits(QUESTION, texts), abs=1e-6
    )


def test_a_lone_surrogate_is_refused(scorer):
    with pytest.raises(InvalidText):
        scorer.logits(QUESTION, ["연차", "신청\ud800"])
    with pytest.raises(InvalidText):
        scorer.logits("신청\ud800", ["연차"])


class TestLongTexts:
    def test_a_long_question_is_cut_to_half_and_the_passage_still_matters(self, scorer, texts, caplog):
        question = "연차는 신청한다 " * 200
        with caplog.at_level(logging.INFO):
            logits = scorer.logits(question, texts)
        assert np.ptp(logits) > 0.01
        assert caplog.records[0].getMessage().endswith("was cut to 32 for reranking")

    def test_a_cut_question_scores_as_its_own_beginning(self, scorer, texts, caplog):
        beginning = "연차는 " * 100
        assert scorer.logits(beginning + texts[3], texts) == pytest.approx(
            scorer.logits(beginning + texts[4], texts), abs=1e-6
        )

    def test_passages_that_are_cut_are_counted_in_one_message(self, scorer, texts, caplog):
        with caplog.at_level(logging.INFO):
            scorer.logits(QUESTION, [texts[0], texts[1] * 20, texts[2], texts[3] * 40])
        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith("2 of 4 passages were cut to 64 tokens for reranking; the longest has ")
        assert int(message.split()[-1]) > 200

    def test_only_the_first_cut_of_a_model_is_a_warning(self, model, texts, caplog):
        fresh = CrossEncoderScorer(ScorerSettings(model, "cpu"))
        with caplog.at_level(logging.INFO):
            fresh.logits(QUESTION, [texts[1] * 20])
            fresh.logits(QUESTION, [texts[3] * 40])
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]

    def test_what_fits_is_not_spoken_of(self, scorer, texts, caplog):
        with caplog.at_level(logging.DEBUG, logger="llama_index_ko_rerank"):
            scorer.logits(QUESTION, texts)
        assert caplog.records == []

    def test_a_question_of_100_000_characters_is_answered(self, scorer, texts):
        assert np.isfinite(scorer.logits("연차 신청 " * 17_000, texts)).all()


class TestThreads:
    def test_many_threads_get_what_one_gets(self, scorer, passages):
        questions = ["연차", "출장비 청구 " * 30, "회의실은 어디에 있나", "노트북 " * 60]
        wanted = [scorer.logits(question, passages) for question in questions]
        with ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(scorer.logits, question, passages) for question in questions * 6]
        for number, run in enumerate(runs):
            assert run.result() == pytest.approx(wanted[number % 4], abs=1e-5)


class TestSharing:
    def test_equal_settings_share_one_model(self, model):
        assert load_scorer(ScorerSettings(model)) is load_scorer(ScorerSettings(model))

    def test_threads_that_load_at_once_share_one_model(self, model):
        wanted = ScorerSettings(model, max_length=48)
        with ThreadPoolExecutor(6) as pool:
            scorers = list(pool.map(load_scorer, [wanted] * 6))
        assert len({id(scorer) for scorer in scorers}) == 1

    def test_other_settings_have_another_model(self, model):
        assert load_scorer(ScorerSettings(model, max_length=32)) is not load_scorer(ScorerSettings(model))

    def test_a_model_that_nobody_uses_is_let_go(self, model):
        settings_of_its_own = ScorerSettings(model, max_length=40)
        watched = weakref.ref(load_scorer(settings_of_its_own))
        gc.collect()
        assert watched() is None


class TestMaxLength:
    def test_it_is_the_models_own_where_none_is_given(self, scorer):
        assert scorer.max_length == 64

    def test_a_shorter_one_cuts_more(self, model, texts, caplog):
        short = load_scorer(ScorerSettings(model, max_length=16))
        with caplog.at_level(logging.WARNING):
            short.logits("연차", [texts[5], texts[0] * 9])
        assert "1 of 2 passages were cut to 16 tokens" in caplog.text

    @pytest.mark.parametrize("max_length", [8, 15, 0, -1])
    def test_one_that_holds_no_passage_is_refused(self, model, max_length):
        with pytest.raises(InvalidSetting, match=f"max_length must be 16 or more, not {max_length}"):
            load_scorer(ScorerSettings(model, max_length=max_length))

    def test_one_beyond_the_positions_of_the_model_is_refused(self, model):
        with pytest.raises(InvalidSetting, match="max_length=65 is beyond the 64 positions"):
            load_scorer(ScorerSettings(model, max_length=65))

    def test_a_model_that_keeps_places_for_padding_reads_fewer_tokens(self, save_roberta, tmp_path, texts):
        folder = str(save_roberta(tmp_path / "roberta"))
        scorer = load_scorer(ScorerSettings(folder))
        assert scorer.max_length == 62
        assert np.isfinite(scorer.logits(QUESTION, [" ".join(texts * 4)])).all()
        with pytest.raises(InvalidSetting, match="max_length=64 is beyond the 62 positions"):
            load_scorer(ScorerSettings(folder, max_length=64))
