"""Parity with sentence-transformers on weights that were trained, whose logits lie far apart."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
from llama_index_ko_rerank.train import TrainingArguments, train_cross_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "cross-encoder"
    train_cross_encoder(
        load_dataset("sample", "train"),
        folder,
        arguments=TrainingArguments(max_steps=6, seed=0, show_progress=False, device="cpu"),
    )
    return str(folder)


def test_a_trained_model_has_the_logits_and_the_order_of_sentence_transformers(trained):
    dataset = load_dataset("sample", "validation")
    texts = [passage.text for passage in dataset.passages[:30]]
    scorer, stock = load_scorer(ScorerSettings(trained, device="cpu")), CrossEncoder(trained, device="cpu")
    assert scorer.backend == "unpadded"
    for question in dataset.questions[:5]:
        pairs = [(question.text, text) for text in texts]
        wanted = stock.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        found = scorer.logits(question.text, texts)
        assert wanted.max() - wanted.min() > 0.05
        assert found == pytest.approx(wanted, abs=1e-5)
        assert (-found).argsort(kind="stable").tolist() == (-wanted).argsort(kind="stable").tolist()
