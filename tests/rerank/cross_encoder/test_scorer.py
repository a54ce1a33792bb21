import gc
import logging
import unicodedata
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from transformers import AutoConfig

from llama_index_ko_rerank.errors import InvalidSetting, InvalidText
from llama_index_ko_rerank.forward.precision import prefers_bfloat16
from llama_index_ko_rerank.rerank.cross_encoder.batching import ForwardQueue
from llama_index_ko_rerank.rerank.cross_encoder.scorer import CrossEncoderScorer, ScorerSettings, load_scorer
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import WarnOnce, pair_encoder

QUESTION = "연차는 누구에게 신청하나"
shared_fixtures = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def scorer(model):
    return load_scorer(ScorerSettings(model, "cpu"))


@pytest.fixture
def passages(texts):
    """Passages of many lengths, one of them longer than the model reads."""
    return [*texts, "연차", " ".join(texts[:2]), " ".join(texts * 3), "바다거북 😀", "연차, 연차!"]


@pytest.fixture
def alone(scorer, passages):
    """The logit of each passage, scored by itself."""
    scorer.clear_cache()
    return np.concatenate([scorer.logits(QUESTION, [text]) for text in passages])


def test_logits_are_those_of_sentence_transformers(scorer, stock, texts):
    passages = [*texts, "연차", " ".join(texts[:2]), "바다거북 😀", "연차, 연차!"]
    wanted = stock.predict(
        [(QUESTION, text) for text in passages], activation_fn=torch.nn.Identity(), show_progress_bar=False
    )
    logits = scorer.logits(QUESTION, passages)
    assert logits.dtype == np.float64
    assert logits.shape == (len(passages),)
    assert logits == pytest.approx(wanted, abs=1e-5)


def test_the_prompt_of_a_model_stands_before_the_question(model, stock, texts, tmp_path):
    prompted = CrossEncoder(model, prompts={"query": "회의실 "}, default_prompt_name="query", device="cpu")
    prompted.save_pretrained(str(tmp_path / "prompted"))
    logits = load_scorer(ScorerSettings(str(tmp_path / "prompted"), "cpu")).logits("예약", texts)
    assert logits == pytest.approx(load_scorer(ScorerSettings(model, "cpu")).logits("회의실 예약", texts), abs=1e-6)
    pairs = [("예약", text) for text in texts]
    assert logits == pytest.approx(
        prompted.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False), abs=1e-5
    )


def test_the_passages_of_this_model_have_scores_that_differ(scorer, texts):
    assert np.ptp(scorer.logits(QUESTION, texts)) > 0.01
    assert np.abs(scorer.logits(QUESTION, texts) - scorer.logits("출장비", texts)).max() > 0.01


@shared_fixtures
@given(
    max_batch_tokens=st.sampled_from([1, 40, 100, 1000]),
    order=st.lists(st.integers(0, 10), min_size=1, max_size=14),
    remembered=st.sets(st.integers(0, 10)),
)
def test_neither_token_budget_nor_order_nor_memory_changes_a_score(
    model, alone, passages, max_batch_tokens, order, remembered
):
    scorer = load_scorer(ScorerSettings(model, "cpu", max_batch_tokens=max_batch_tokens))
    scorer.clear_cache()
    scorer.logits(QUESTION, [passages[place] for place in remembered])
    mixed = scorer.logits(QUESTION, [passages[place] for place in order])
    assert mixed == pytest.approx(alone[order], abs=1e-5)
    assert np.array_equal(scorer.logits(QUESTION, [passages[place] for place in order]), mixed)


def spans_of(scorer, passage):
    """The characters of each window of a passage, as the model's own pairs have them."""
    maker = pair_encoder(
        CrossEncoder(scorer.settings.model, device="cpu").tokenizer,
        max_length=scorer.max_length,
        overflow="window",
        warnings=WarnOnce(logging.getLogger("llama_index_ko_rerank.test")),
    )
    return maker.pairs(QUESTION, [passage])[0].spans


def test_no_passages_have_no_logits(scorer):
    assert scorer.logits(QUESTION, []).shape == (0,)


def test_equal_passages_have_equal_logits(scorer, texts):
    assert len(set(scorer.logits(QUESTION, [texts[0]] * 5))) == 1


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
    @pytest.fixture
    def cutting(self, model):
        return CrossEncoderScorer(ScorerSettings(model, "cpu", overflow="truncate"))

    def test_a_long_passage_has_the_logit_of_its_best_window(self, scorer, texts):
        passage = ". ".join(texts * 3)
        scored = scorer.score(QUESTION, [texts[0], passage])
        windows = scorer.score(QUESTION, [passage[slice(*span)] for span in spans_of(scorer, passage)]).logits
        assert len(windows) > 2
        assert scored.logits[1] == pytest.approx(windows.max(), abs=1e-5)
        assert scored.spans[0] is None
        assert scored.spans[1] == spans_of(scorer, passage)[int(windows.argmax())]

    def test_a_cut_passage_has_the_logit_of_its_beginning(self, cutting, scorer, texts):
        passage = ". ".join(texts * 3)
        scored = cutting.score(QUESTION, [passage])
        ((start, end),) = scored.spans
        assert (start, 0 < end < len(passage)) == (0, True)
        assert scored.logits == pytest.approx(scorer.logits(QUESTION, [passage[:end]]), abs=1e-5)

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

    def test_passages_that_are_cut_are_counted_in_one_message(self, cutting, texts, caplog):
        with caplog.at_level(logging.INFO):
            cutting.logits(QUESTION, [texts[0], texts[1] * 20, texts[2], texts[3] * 40])
        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith("2 of 4 passages were cut to 64 tokens for reranking; the longest has ")
        assert int(message.split()[-1]) > 200

    def test_only_the_first_cut_of_a_model_is_a_warning(self, model, texts, caplog):
        fresh = CrossEncoderScorer(ScorerSettings(model, "cpu", overflow="truncate"))
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
        short = load_scorer(ScorerSettings(model, max_length=16, overflow="truncate"))
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


class TestDtypes:
    def test_the_path_and_the_dtype_are_told_once_on_loading(self, model, caplog):
        settings_of_its_own = ScorerSettings(model, "cpu", max_length=56, dtype="bfloat16")
        with caplog.at_level(logging.INFO):
            scorer = load_scorer(settings_of_its_own)
            load_scorer(settings_of_its_own)
        assert (scorer.backend, scorer.dtype) == ("unpadded", "bfloat16")
        assert [text for text in caplog.messages if "reads pairs" in text] == [
            f"{model!r} reads pairs unpadded in bfloat16 on cpu"
        ]

    def test_auto_is_16_bits_where_they_were_measured_to_be_faster(self, model):
        config = AutoConfig.from_pretrained(model)
        fast = prefers_bfloat16(torch.device("cpu"), hidden=config.hidden_size, inner=config.intermediate_size)
        assert load_scorer(ScorerSettings(model, "cpu", dtype="auto")).dtype == ("bfloat16" if fast else "float32")

    def test_16_bits_change_a_logit_a_little(self, model, scorer, texts):
        rough = load_scorer(ScorerSettings(model, "cpu", dtype="bfloat16")).logits(QUESTION, texts)
        exact = scorer.logits(QUESTION, texts)
        assert rough == pytest.approx(exact, abs=0.3)
        assert not np.array_equal(rough, exact)

    @pytest.mark.parametrize("max_batch_tokens", [0, -5])
    def test_a_token_budget_below_one_is_refused(self, model, max_batch_tokens):
        with pytest.raises(InvalidSetting, match="max_batch_tokens must be 1 or more"):
            load_scorer(ScorerSettings(model, "cpu", max_batch_tokens=max_batch_tokens))


class TestCascade:
    """Passages are made of the words of the six, so that many have logits that are near each other."""

    @pytest.fixture
    def cascade(self, model):
        return CrossEncoderScorer(ScorerSettings(model, "cpu", cascade=True))

    @pytest.fixture
    def many(self, texts):
        words = " ".join(texts).split()
        draw = np.random.default_rng(5)
        return [[" ".join(draw.choice(words, draw.integers(2, 12))) for _ in range(30)] for _ in range(12)]

    def test_the_first_are_those_of_32_bits_with_their_logits(self, cascade, scorer, many):
        left_out = 0
        for passages in many:
            scored = cascade.score(QUESTION, passages, top_n=5)
            exact = scorer.logits(QUESTION, passages)
            assert scored.logits[scored.exact] == pytest.approx(exact[scored.exact], abs=1e-5)
            best = np.argsort(-np.where(scored.exact, scored.logits, -np.inf), kind="stable")[:5]
            assert best.tolist() == np.argsort(-exact, kind="stable")[:5].tolist()
            left_out += int((~scored.exact).sum())
        assert left_out > 100

    def test_the_first_questions_are_scored_in_full(self, cascade, many):
        counts = [int(cascade.score(QUESTION, passages, top_n=5).exact.sum()) for passages in many[:6]]
        assert counts[:4] == [30] * 4
        assert max(counts[4:]) < 30

    def test_without_a_number_of_first_places_all_logits_are_exact(self, cascade, scorer, many):
        for passages in many[:5]:
            cascade.score(QUESTION, passages, top_n=5)
        logits = cascade.logits(QUESTION, many[6])
        assert logits == pytest.approx(scorer.logits(QUESTION, many[6]), abs=1e-5)

    def test_it_says_what_it_is(self, cascade):
        assert (cascade.dtype, cascade.cascade, cascade.backend) == ("float32", True, "unpadded")


class TestSeveralLabels:
    @pytest.fixture
    def folder(self, save_bert, tmp_path):
        return save_bert(tmp_path / "three", num_labels=3, id2label={0: "무관", 1: "일부", 2: "정답"})

    def test_the_probability_is_the_softmax_of_the_label_that_is_named(self, folder, texts):
        stock = CrossEncoder(str(folder), device="cpu")
        wanted = stock.predict([(QUESTION, text) for text in texts], apply_softmax=True, show_progress_bar=False)
        for label, place in (("정답", 2), (0, 0)):
            logits = load_scorer(ScorerSettings(str(folder), "cpu", label=label)).logits(QUESTION, texts)
            assert 1 / (1 + np.exp(-logits)) == pytest.approx(wanted[:, place], abs=1e-5)

    def test_a_label_has_to_be_named(self, folder, model):
        with pytest.raises(InvalidSetting, match="has 3 labels; say with label= whose probability counts"):
            load_scorer(ScorerSettings(str(folder), "cpu"))
        with pytest.raises(InvalidSetting, match="leave label None"):
            load_scorer(ScorerSettings(model, "cpu", label="정답"))


class TestForgetting:
    def test_what_was_scored_is_not_read_again_until_it_is_forgotten(self, model, texts, monkeypatch):
        scorer = CrossEncoderScorer(ScorerSettings(model, "cpu"))
        read = []
        submit = ForwardQueue.submit

        def counting(queue, forward, pairs):
            read.append(len(pairs))
            return submit(queue, forward, pairs)

        monkeypatch.setattr(ForwardQueue, "submit", counting)
        first = scorer.logits(QUESTION, [*texts, *texts])
        scorer.logits(QUESTION, texts[::-1])
        scorer.logits(QUESTION, [texts[0], "연차"])
        assert read == [6, 1]
        scorer.clear_cache()
        assert scorer.logits(QUESTION, texts) == pytest.approx(first[:6], abs=1e-6)
        assert read == [6, 1, 6]
