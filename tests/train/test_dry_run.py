import pytest

from llama_index_ko_rerank.cli.train import ModelKind, train
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.train import (
    RECIPES,
    TrainingArguments,
    estimate_training,
    override_recipe,
    train_cross_encoder,
)
from tests.corpora.training import PLACES, notice_board

STRONG = override_recipe(RECIPES["cross-encoder"]["strong"], negatives=3)


def _estimate(task, dataset, tmp_path, **settings):
    arguments = TrainingArguments(device="cpu", **settings)
    return estimate_training(task, dataset, tmp_path / "model", arguments=arguments)


def test_an_estimate_holds_rows_steps_time_and_memory_and_writes_nothing(notices, bare_bert, tmp_path):
    settings = {"base": str(bare_bert), "recipe": STRONG, "epochs": 2, "batch_size": 16}
    found = _estimate("cross-encoder", notices, tmp_path, **settings)

    assert not (tmp_path / "model").exists()
    assert (found.training_rows, found.validation_rows) == (28, 4)
    assert [(stage.loss, stage.rows, stage.steps) for stage in found.stages] == [
        ("BinaryCrossEntropyLoss", 112, 14),
        ("LambdaLoss", 28, 14),
    ]
    assert found.seconds > sum(stage.steps * stage.step_seconds for stage in found.stages) > 0
    assert found.memory_bytes > 10**8
    lines = "\n".join(found.lines())
    for text in ("28 training rows, 4 for validation", "stage 2: LambdaLoss, 28 rows x 2 epochs", "time: about"):
        assert text in lines


def test_the_steps_are_those_that_the_run_then_takes(notices, bare_bert, tmp_path):
    recipe = RECIPES["cross-encoder"]["book-rerank"]
    settings = {"base": str(bare_bert), "recipe": recipe, "batch_size": 8}
    found = _estimate("cross-encoder", notices, tmp_path, **settings)
    result = train_cross_encoder(
        notices, tmp_path / "model", arguments=TrainingArguments(show_progress=False, device="cpu", **settings)
    )

    assert sum(stage.steps for stage in found.stages) == result.steps
    assert sum(stage.evaluations for stage in found.stages) == len(result.history) - 1


def test_an_estimate_refuses_what_the_run_would_refuse(tmp_path):
    with pytest.raises(EmptyCorpus, match="needs at least 10"):
        _estimate("bi-encoder", notice_board(PLACES[:6]), tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.docx").write_text("…", encoding="utf-8")
    with pytest.raises(InvalidSetting, match="holds other files"):
        _estimate("bi-encoder", notice_board(), tmp_path)


def test_the_command_prints_the_plan_and_leaves_the_folder_alone(tmp_path, capsys):
    train(
        ModelKind.BI_ENCODER, data="sample", out=tmp_path / "model", recipe="static", matryoshka_dims="128",
        batch_size=64, epochs=1, dry_run=True,
    )  # fmt: skip

    assert "MatryoshkaLoss" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()


def test_the_command_refuses_an_option_of_another_recipe(tmp_path):
    with pytest.raises(InvalidSetting, match="takes no teacher"):
        train(ModelKind.CROSS_ENCODER, data="sample", out=tmp_path / "model", recipe="strong", teacher="x")
    with pytest.raises(InvalidSetting, match="whole numbers"):
        train(ModelKind.BI_ENCODER, data="sample", out=tmp_path / "m", recipe="static", matryoshka_dims="a,b")
