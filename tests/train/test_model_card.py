import yaml

from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder, train_cross_encoder

QUICK = {"max_steps": 3, "batch_size": 8, "show_progress": False, "device": "cpu"}


def _card(result):
    front, _, body = (result.path / "README.md").read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(front), body


def test_the_card_says_data_settings_scores_versions_and_limits(notices, tmp_path):
    result = train_bi_encoder(notices, tmp_path / "town", arguments=TrainingArguments(seed=11, **QUICK))
    front, body = _card(result)

    assert front["language"] == ["ko"]
    assert front["pipeline_tag"] == "sentence-similarity"
    assert "base_model" not in front
    for said in (
        "# town",
        "`notices train`, 28 rows an epoch from 28 pairs, with 14 distinct contexts",
        "held out of the training data, 4 pairs with 2 distinct contexts",
        "| loss | MultipleNegativesRankingLoss |",
        "| seed | 11 |",
        f"{result.untrained_value:.4f} untrained, {result.best_value:.4f} at step {result.best_step}",
        "| 0, random vectors |",
        "sentence-transformers 6",
        "cpu_count",
        "## Limits",
    ):
        assert said in body


def test_every_measurement_is_in_the_card(notices, bare_bert, tmp_path):
    result = train_cross_encoder(notices, tmp_path / "town", arguments=TrainingArguments(base=str(bare_bert), **QUICK))
    front, body = _card(result)

    assert front["pipeline_tag"] == "text-ranking"
    for step, value in result.history:
        assert f"| {step} | {value:.4f} |" in body
    assert "always among the candidates" in body


def test_a_local_base_is_no_hub_name_in_the_front_matter(notices, bare_bert, tmp_path):
    front, body = _card(
        train_bi_encoder(notices, tmp_path / "town", arguments=TrainingArguments(base=str(bare_bert), **QUICK))
    )

    assert "base_model" not in front
    assert "| pooling | mean |" in body
