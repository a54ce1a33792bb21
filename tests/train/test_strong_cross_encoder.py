"""The recipes of cross-encoders beside the book's."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import LambdaLoss, ListNetLoss
from transformers import AutoConfig

from llama_index_ko_rerank.data.dataset import PairDataset, SentencePair
from llama_index_ko_rerank.errors import InvalidSetting, MalformedData, UnsuitableModel
from llama_index_ko_rerank.train import RECIPES, override_recipe, train_cross_encoder
from llama_index_ko_rerank.train.arguments import TrainingArguments
from llama_index_ko_rerank.train.cross_encoder import prepare_cross_encoder
from llama_index_ko_rerank.train.run import validate_run
from tests.corpora.training import PLACES, notice_board, sentence_pairs

CROSS = RECIPES["cross-encoder"]
STRONG = override_recipe(CROSS["strong"], negatives=3, space_drop_rate=0.0)
QUICK = {"epochs": 1, "batch_size": 16, "show_progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A trained cross-encoder, by two steps."""
    folder = tmp_path_factory.mktemp("trained") / "teacher"
    return train_cross_encoder(
        notice_board(), folder, arguments=TrainingArguments(max_steps=2, **QUICK | {"epochs": 1})
    ).path


def _prepared(dataset, tmp_path, recipe, **settings):
    arguments = TrainingArguments(recipe=recipe, device="cpu", **settings)
    run = validate_run("cross-encoder", dataset, tmp_path / "m", validation=None, arguments=arguments, writes=False)
    return prepare_cross_encoder(run)


def _weights(folder):
    return load_file(folder / "model.safetensors")


def _classes(indices=PLACES, split="train"):
    rows = []
    for number, index in enumerate(indices):
        rows.append(SentencePair(f"{index}에 간다", f"{index}으로 걸어간다", 0))
        rows.append(SentencePair(f"{index}에 간다", f"{indices[number - 3]} 문이 닫혔다", 1))
        rows.append(SentencePair(f"{index}에 간다", f"{index}에 가지 않는다", 2))
    return PairDataset("classes", split, tuple(rows))


def test_strong_teaches_pairs_first_and_then_the_same_passages_as_lists(notices, bare_bert, tmp_path):
    prepared = _prepared(notices, tmp_path, STRONG, base=str(bare_bert), batch_size=16, epochs=1)
    pairs, groups = prepared.stages

    assert pairs.loss.bce_with_logits_loss.pos_weight == 3
    assert len(pairs.columns["label"]) == 4 * len(groups.columns["question"]) == 4 * 28
    assert pairs.columns["label"][:4] == groups.columns["label"][0] == [1.0, 0.0, 0.0, 0.0]
    assert pairs.columns["second"][4:8] == groups.columns["passages"][1]
    assert (pairs.schedule.batch_size, groups.schedule.batch_size) == (16, 4)
    assert groups.schedule.learning_rate == pairs.schedule.learning_rate / 2
    assert isinstance(groups.loss, LambdaLoss)
    listnet = override_recipe(STRONG, loss="listnet")
    assert isinstance(_prepared(notices, tmp_path, listnet, base=str(bare_bert)).stages[1].loss, ListNetLoss)


def test_listnet_is_the_cross_entropy_of_the_softmax_over_a_list(notices, bare_bert, tmp_path):
    recipe = override_recipe(STRONG, loss="listnet")
    groups = _prepared(notices, tmp_path, recipe, base=str(bare_bert)).stages[1]
    question, passages, labels = (groups.columns[name][0] for name in ("question", "passages", "label"))
    model = groups.loss.model.eval()

    logits = torch.tensor(model.predict([(question, text) for text in passages], activation_fn=torch.nn.Identity()))
    marks = torch.tensor(labels)
    by_hand = -(torch.softmax(marks, 0) * torch.log_softmax(logits, 0)).sum()

    value = groups.loss([[question], [passages]], [marks]).item()
    assert value == pytest.approx(by_hand.item(), abs=1e-4)


def test_the_steps_of_both_stages_together_stay_within_max_steps(notices, bare_bert, tmp_path):
    for most, split in ((5, (3, 2)), (2, (1, 1)), (1, (1,))):
        stages = _prepared(notices, tmp_path, STRONG, base=str(bare_bert), max_steps=most).stages
        assert tuple(stage.schedule.steps for stage in stages) == split


def test_strong_runs_and_the_same_seed_gives_the_same_weights_bit_for_bit(notices, bare_bert, tmp_path):
    options = QUICK | {"base": str(bare_bert), "recipe": STRONG, "max_steps": 6}
    first, again = (
        train_cross_encoder(notices, tmp_path / name, arguments=TrainingArguments(seed=3, **options)) for name in "ab"
    )

    assert first.steps == 6
    assert [step for step, _ in first.history] == [0, 1, 2, 3, 4, 5, 6]
    left, right = (_weights(result.path) for result in (first, again))
    assert all(np.array_equal(left[name], right[name]) for name in left)
    card = (first.path / "README.md").read_text(encoding="utf-8")
    for said in (
        "3 hard negatives a row from BM25",
        "| second stage | LambdaLoss, 3 steps of 4 lists |",
        "others count 0",
    ):
        assert said in card
    assert "always among the candidates" not in card


def test_the_weights_are_those_of_the_best_step_of_both_stages(notices, tmp_path):
    options = QUICK | {"recipe": STRONG, "max_steps": 4, "learning_rate": 30.0, "warmup_steps": 0}
    result = train_cross_encoder(notices, tmp_path / "m", arguments=TrainingArguments(keep_checkpoints=True, **options))

    values = dict(result.history[1:])
    assert result.best_value == max(values.values())
    stage, step = (1, result.best_step) if result.best_step <= 2 else (2, result.best_step - 2)
    best = result.path / "checkpoints" / f"stage-{stage}" / f"checkpoint-{step}"
    assert all(np.array_equal(weight, _weights(best)[name]) for name, weight in _weights(result.path).items())


@pytest.fixture
def ctrl_c_is_heard():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_a_run_broken_in_either_stage_ends_as_an_unbroken_one(stage, notices, bare_bert, tmp_path, ctrl_c_is_heard):
    options = QUICK | {"base": str(bare_bert), "recipe": STRONG, "seed": 5, "epochs": 6, "batch_size": 32}
    unbroken = train_cross_encoder(notices, tmp_path / "unbroken", arguments=TrainingArguments(**options))

    def press():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any((tmp_path / "broken" / "checkpoints" / f"stage-{stage}").glob("checkpoint-*/trainer_state.json")):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.002)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        train_cross_encoder(notices, tmp_path / "broken", arguments=TrainingArguments(**options))
    resumed = train_cross_encoder(notices, tmp_path / "broken", arguments=TrainingArguments(resume=True, **options))

    first, second = (_weights(result.path) for result in (unbroken, resumed))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert resumed.history == unbroken.history
    assert resumed.best_step == unbroken.best_step


def test_distil_learns_the_teacher_s_margins(notices, bare_bert, teacher, tmp_path):
    recipe = override_recipe(CROSS["distil"], negatives=2, teacher=str(teacher), space_drop_rate=0.0)
    stage = _prepared(notices, tmp_path, recipe, base=str(bare_bert)).stages[0]
    columns, model = stage.columns, CrossEncoder(str(teacher))

    texts = [columns[name][3] for name in ("context", "negative_1", "negative_2")]
    logits = model.predict([(columns["question"][3], text) for text in texts], activation_fn=torch.nn.Identity())
    assert columns["label"][3] == pytest.approx([logits[0] - logits[1], logits[0] - logits[2]], abs=1e-4)

    result = train_cross_encoder(
        notices, tmp_path / "m", arguments=TrainingArguments(base=str(bare_bert), recipe=recipe, max_steps=2, **QUICK)
    )
    assert (result.recipe, result.metric) == ("distil", "mrr@10")


def test_distil_without_a_teacher_is_refused(notices, tmp_path):
    with pytest.raises(InvalidSetting, match="learns from a stronger cross-encoder"):
        train_cross_encoder(notices, tmp_path / "m", arguments=TrainingArguments(recipe="distil", **QUICK))


def test_a_base_with_a_random_head_teaches_nobody(notices, bare_bert, tmp_path):
    recipe = override_recipe(CROSS["distil"], teacher=str(bare_bert))
    with pytest.raises(UnsuitableModel, match=r"teacher .* is no trained cross-encoder"):
        train_cross_encoder(notices, tmp_path / "m", arguments=TrainingArguments(recipe=recipe, **QUICK))


@pytest.mark.parametrize("base", ["scratch", "bare_bert"])
def test_classes_get_a_logit_each_and_their_names_in_the_config(base, tmp_path, request):
    folder = base if base == "scratch" else str(request.getfixturevalue(base))
    recipe = override_recipe(CROSS["classify"], class_names=["같음", "다름", "반대"])
    result = train_cross_encoder(
        _classes(), tmp_path / "m", arguments=TrainingArguments(base=folder, recipe=recipe, max_steps=2, **QUICK)
    )

    assert result.metric == "macro-f1"
    assert CrossEncoder(str(result.path)).predict([("시장에 간다", "시장으로 걸어간다")]).shape == (1, 3)
    assert AutoConfig.from_pretrained(result.path).id2label == {0: "같음", 1: "다름", 2: "반대"}
    assert "training rows a class: 같음" in (result.path / "README.md").read_text(encoding="utf-8")


def test_a_classifier_learns(tmp_path):
    options = QUICK | {"epochs": 8, "learning_rate": 2e-3, "warmup_steps": 2}
    result = train_cross_encoder(_classes(), tmp_path / "m", arguments=TrainingArguments(recipe="classify", **options))

    assert result.best_value > 0.8


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ((0, 2), None, "no row has the label 1"),
        ((0, 1, 2), ["예", "아니요"], "labels go up to 2, and 2 classes are named"),
        ((0, 1.5), None, "rows have such labels; this recipe learns classes"),
        ((1, 1), None, "every label is 1"),
    ],
)
def test_classes_that_do_not_fit_are_refused(labels, names, message, tmp_path):
    rows = tuple(SentencePair(f"{n}번", f"{n}번 글", labels[n % len(labels)]) for n in range(30))
    recipe = override_recipe(CROSS["classify"], class_names=names)
    with pytest.raises(MalformedData, match=message):
        train_cross_encoder(
            PairDataset("hand", "train", rows), tmp_path / "m", arguments=TrainingArguments(recipe=recipe, **QUICK)
        )


def test_a_rare_class_is_told_of(tmp_path, caplog):
    rows = tuple(SentencePair(f"{n}번", f"{n}번 글", int(n == 7)) for n in range(120))
    _prepared(PairDataset("hand", "train", rows), tmp_path, "classify")

    assert "few of 108 rows are of these classes" in caplog.text


def test_sentence_pairs_have_no_mined_negatives(pairs, tmp_path):
    with pytest.raises(InvalidSetting, match="learns from questions with contexts"):
        train_cross_encoder(sentence_pairs(), tmp_path / "m", arguments=TrainingArguments(recipe="strong", **QUICK))
