"""The scorer gives what sentence-transformers gives, for the model of each family with a tokenizer of its kind."""

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
from tests.rerank.tiny_cross_encoders import KINDS, tiny_model
from tests.rerank.tiny_tokenizers import TEXTS, learn_tokenizer

QUESTIONS = ["연차는 누구에게 신청하나", " 회의실"]


@pytest.fixture
def save(tmp_path, word_pieces):
    def write(family, make):
        tokenizer = learn_tokenizer(family, word_pieces)
        make(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id).save_pretrained(tmp_path)
        tokenizer.model_max_length = 64
        tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    return write


def check(folder, path):
    scorer, stock = load_scorer(ScorerSettings(folder, "cpu")), CrossEncoder(folder, device="cpu")
    assert (scorer.backend, scorer.max_length) == (path, 64)
    for question in QUESTIONS:
        pairs = [(question, text) for text in TEXTS]
        wanted = stock.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        assert wanted.max() - wanted.min() > 0.01
        assert scorer.logits(question, TEXTS) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("family", KINDS)
def test_packed_families_have_the_logits_of_sentence_transformers(save, family):
    check(save(family, lambda **sizes: tiny_model(family, **sizes)), "unpadded")


def test_a_family_that_is_not_known_runs_padded_with_the_same_logits(save):
    def make(**sizes):
        torch.manual_seed(7)
        config = DistilBertConfig(
            dim=32, n_layers=2, n_heads=2, hidden_dim=64, num_labels=1, initializer_range=0.3, **sizes
        )
        return DistilBertForSequenceClassification(config)

    check(save("bert", make), "padded")
