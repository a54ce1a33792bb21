import unicodedata

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from llama_index_ko_rerank.data.dataset import PairDataset, SentencePair
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.errors import InvalidSetting, ModelNotFound, SplitLeak, UnsuitableModel
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder
from llama_index_ko_rerank.train.models.loading import bi_encoder_base
from tests.corpora.training import PLACES, notice_board

DISHES = (
    "비빔밥", "칼국수", "떡볶이", "김밥", "냉면", "불고기", "잡채", "만두",
    "파전", "순대", "호떡", "식혜", "수정과", "약과", "송편", "인절미",
)  # fmt: skip
QUICK = {"epochs": 1, "batch_size": 8, "show_progress": False, "device": "cpu"}


def _weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


def _equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_a_model_from_scratch_loads_everywhere_at_once(notices, tmp_path):
    result = train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK))

    vectors = SentenceTransformer(str(result.path)).encode(["시장은 언제 여나요?"], normalize_embeddings=True)
    assert KoreanEmbedding(result.path).get_text_embedding("시장은 언제 여나요?") == pytest.approx(vectors[0], abs=1e-6)
    assert (result.recipe, result.base, result.metric) == ("book-mrc", "scratch", "mrr@10")
    assert not (result.path / "checkpoints").exists()


def test_the_folder_has_the_weights_of_the_best_step(notices, tmp_path):
    result = train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK))

    values = dict(result.history)
    assert result.best_value == values[result.best_step] == max(value for step, value in result.history if step)
    assert result.history[0][0] == 0
    assert result.steps == result.history[-1][0]


def test_the_best_step_and_not_the_last_is_saved(notices, tmp_path):
    # A ruinous learning rate: what was good at the first measurement is lost at the last.
    options = QUICK | {"epochs": 6, "learning_rate": 50.0, "warmup_steps": 4}
    result = train_bi_encoder(
        notices, tmp_path / "model", arguments=TrainingArguments(keep_checkpoints=True, **options)
    )

    best = result.path / "checkpoints" / f"checkpoint-{result.best_step}"
    assert result.best_step < result.steps
    assert _equal(_weights(result.path), _weights(best))


def test_the_same_seed_gives_the_same_weights_bit_for_bit(notices, tmp_path):
    first, again, other = (
        _weights(
            train_bi_encoder(notices, tmp_path / str(number), arguments=TrainingArguments(seed=seed, **QUICK)).path
        )
        for number, seed in enumerate((7, 7, 8))
    )

    assert _equal(first, again)
    assert not _equal(first, other)


def test_unicode_forms_of_the_data_do_not_change_the_weights(notices, tmp_path):
    def decomposed(dataset):
        passages = tuple(type(p)(p.id, unicodedata.normalize("NFD", p.text), p.title) for p in dataset.passages)
        questions = tuple(type(q)(q.id, unicodedata.normalize("NFD", q.text), q.passage_ids) for q in dataset.questions)
        return type(dataset)(dataset.name, dataset.split, passages, questions)

    composed = train_bi_encoder(notices, tmp_path / "nfc", arguments=TrainingArguments(**QUICK))
    other = train_bi_encoder(decomposed(notices), tmp_path / "nfd", arguments=TrainingArguments(**QUICK))

    assert _equal(_weights(composed.path), _weights(other.path))


def test_sentence_pairs_are_learnt_by_their_labels(tmp_path):
    # No place shares a word with its dish, so that only the labels can say what belongs together.
    def dishes(split, near, step):
        rows = [(SentencePair(index, DISHES[n] + near, 0.9), SentencePair(index, DISHES[n - step] + near, 0.1))
                for n, index in enumerate(PLACES)]  # fmt: skip
        return PairDataset("dishes", split, tuple(pair for both in rows for pair in both))

    result = train_bi_encoder(
        dishes("train", "", 3),
        tmp_path / "m",
        validation=dishes("validation", " 먹기", 5),
        arguments=TrainingArguments(**QUICK | {"epochs": 15}),
    )

    assert (result.recipe, result.metric) == ("book-sts", "spearman")
    assert result.best_value > result.history[0][1] + 0.4


def test_a_transformer_is_trained_with_the_pooling_of_the_arguments(notices, bare_bert, tmp_path):
    result = train_bi_encoder(
        notices,
        tmp_path / "model",
        arguments=TrainingArguments(base=str(bare_bert), pooling="cls", max_steps=2, **QUICK),
    )

    assert SentenceTransformer(str(result.path))[1].pooling_mode == "cls"
    assert result.base == str(bare_bert)
    assert result.steps == 2


def test_prompts_of_the_base_are_kept_and_used(notices, bare_bert, tmp_path):
    base = SentenceTransformer(str(bare_bert), prompts={"query": "query: ", "document": "passage: "})
    base.save_pretrained(str(tmp_path / "base"))

    result = train_bi_encoder(
        notices, tmp_path / "model", arguments=TrainingArguments(base=str(tmp_path / "base"), max_steps=2, **QUICK)
    )

    assert SentenceTransformer(str(result.path)).prompts == {"query": "query: ", "document": "passage: "}
    assert KoreanEmbedding(result.path).query_instruction == "query: "


def test_validation_data_of_the_user_are_taken(tmp_path):
    result = train_bi_encoder(
        notice_board(PLACES[:12]),
        tmp_path / "m",
        validation=notice_board(PLACES[12:], split="validation"),
        arguments=TrainingArguments(**QUICK),
    )

    assert result.training_rows == 24


def test_a_training_context_in_the_validation_data_is_refused_before_any_work(notices, tmp_path):
    with pytest.raises(SplitLeak):
        train_bi_encoder(
            notices, tmp_path / "model", validation=notice_board(PLACES[:2]), arguments=TrainingArguments(**QUICK)
        )
    assert not (tmp_path / "model").exists()


def test_training_that_does_not_help_says_so(notices, bare_bert, tmp_path, caplog):
    result = train_bi_encoder(
        notices,
        tmp_path / "model",
        arguments=TrainingArguments(base=str(bare_bert), learning_rate=1e-12, max_steps=2, **QUICK),
    )

    assert not result.improved
    assert "no step beat the start of training" in caplog.text
    assert "training did not help" in (result.path / "README.md").read_text(encoding="utf-8")


def test_texts_that_are_cut_are_counted_once(notices, bare_bert, tmp_path, caplog):
    long = notices.passages[0]
    passages = (type(long)(long.id, long.text + " 물" * 200, long.title), *notices.passages[1:])
    dataset = type(notices)(notices.name, notices.split, passages, notices.questions)

    result = train_bi_encoder(
        dataset, tmp_path / "model", arguments=TrainingArguments(base=str(bare_bert), max_steps=1, seed=1, **QUICK)
    )

    assert caplog.text.count("more than the 64 tokens") == 1
    assert "were cut" in (result.path / "README.md").read_text(encoding="utf-8")


def test_a_base_whose_tokenizer_cannot_pad_is_refused(notices, padless_bert, tmp_path):
    with pytest.raises(UnsuitableModel, match="no pad token"):
        train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(base=str(padless_bert), **QUICK))


def test_a_base_that_is_nowhere_is_refused(notices, tmp_path):
    with pytest.raises(ModelNotFound):
        train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(base="no-such-folder", **QUICK))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recipe": "book-mcr"}, "did you mean 'book-mrc'"),
        ({"recipe": "book-sts"}, "learns from labelled sentence pairs"),
        ({"pooling": "meen"}, "did you mean 'mean'"),
        ({"pooling": "cls"}, "needs a transformer"),
        ({"max_steps": 0}, "max_steps"),
        ({"epochs": 0}, "epochs"),
        ({"device": "cuda:7"}, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(notices, tmp_path, wrong, message):
    with pytest.raises(InvalidSetting, match=message):
        train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK | wrong))


def test_nothing_is_printed(notices, tmp_path, capsys):
    train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK))

    assert capsys.readouterr().out == ""


def test_the_progress_bar_shows_the_last_value(notices, tmp_path, capsys):
    train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK | {"show_progress": True}))

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mrr@10=" in shown.err


def test_the_numbers_of_a_static_base_are_brought_to_the_scale_of_the_rates(notices, tmp_path):
    folder = train_bi_encoder(notices, tmp_path / "model", arguments=TrainingArguments(**QUICK)).path
    model = SentenceTransformer(str(folder), device="cpu")
    with torch.no_grad():
        model[0].embedding.weight *= 64.0
    model.save(str(folder), create_model_card=False)
    base = bi_encoder_base(str(folder), texts=(), pooling=None, device="cpu", seed=0).model
    assert float(base[0].embedding.weight.detach().std()) == pytest.approx(1.0)
    kept = {"convert_to_numpy": True, "normalize_embeddings": True}
    np.testing.assert_allclose(
        base.encode(["시장은 언제 여나요?"], **kept), model.encode(["시장은 언제 여나요?"], **kept), atol=1e-6
    )
