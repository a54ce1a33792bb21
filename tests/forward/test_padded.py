import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import (
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

from llama_index_ko_rerank.forward.backend import make_backend
from tests.rerank.tiny_cross_encoders import LONGEST, PAD, VOCABULARY, random_pairs, stock_logits, tiny_model

LENGTHS = [5, 30, LONGEST, 12, 1, 12, 12, 7, 30, 2]


def padded(model, **settings):
    forward = make_backend(model, pad_token_id=PAD, **settings)
    assert forward.backend == "padded"
    return forward


def tiny_deberta():
    torch.manual_seed(7)
    config = DebertaV2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        initializer_range=0.2,
        num_labels=1,
    )
    return DebertaV2ForSequenceClassification(config).eval()


def tiny_modernbert():
    torch.manual_seed(7)
    config = ModernBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
        pad_token_id=PAD,
        initializer_range=0.2,
        num_labels=1,
    )
    return ModernBertForSequenceClassification(config).eval()


def one_by_one(model, pairs):
    with torch.inference_mode():
        rows = [model(input_ids=torch.from_numpy(pair.token_ids.astype(np.int64))[None]).logits[0] for pair in pairs]
    return torch.stack(rows).numpy()


@pytest.fixture(scope="module", params=[tiny_deberta, tiny_modernbert], ids=["deberta", "modernbert"])
def model(request):
    return request.param()


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(len(LENGTHS))), budget=st.integers(1, 300))
def test_neither_order_nor_token_budget_changes_a_logit(model, order, budget):
    pairs = [random_pairs("xlm-roberta", LENGTHS)[place] for place in order]
    logits = padded(model, max_batch_tokens=budget).logits(pairs)
    np.testing.assert_allclose(logits, one_by_one(model, pairs), rtol=0, atol=1e-5)


def test_bfloat16_works_on_a_copy(model):
    pairs = random_pairs("xlm-roberta", LENGTHS)
    rough = padded(model, dtype="bfloat16").logits(pairs)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - one_by_one(model, pairs)).max() < 0.2
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_no_pairs_give_no_rows(model):
    assert padded(model).logits([]).shape == (0, 1)


class _Adapter(nn.Linear):
    """A linear layer that does more than its weight says."""

    def forward(self, tokens):
        return super().forward(tokens) * 2


class _FineTuned(BertForSequenceClassification):
    """A class of somebody's own, with a forward pass that nobody here knows."""


def adapted(model):
    layer = model.bert.encoder.layer[0].output
    adapter = _Adapter(layer.dense.in_features, layer.dense.out_features)
    adapter.load_state_dict(layer.dense.state_dict())
    layer.dense = adapter


def hooked(model):
    model.bert.encoder.layer[1].register_forward_hook(lambda module, inputs, output: output * 2)


def hooked_before(model):
    model.classifier.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))


def replaced(model):
    own = model.bert.pooler.forward
    model.bert.pooler.forward = lambda hidden: own(hidden) * 2


def bounded(model):
    model.bert.embeddings.word_embeddings.max_norm = 0.5


@pytest.mark.parametrize("change", [adapted, hooked, hooked_before, replaced, bounded])
def test_a_model_with_anything_added_is_asked_itself(change):
    model = tiny_model("bert")
    pairs = random_pairs("bert", LENGTHS)
    plain = make_backend(model, pad_token_id=PAD).logits(pairs)
    change(model)
    logits = padded(model).logits(pairs)
    np.testing.assert_allclose(logits, stock_logits(model, pairs), rtol=0, atol=1e-5)
    assert np.abs(logits - plain).max() > 1e-3


def test_a_class_of_somebodys_own_is_asked_itself():
    model = tiny_model("bert")
    own = _FineTuned(model.config).eval()
    own.load_state_dict(model.state_dict())
    pairs = random_pairs("bert", LENGTHS)
    np.testing.assert_allclose(padded(own).logits(pairs), stock_logits(model, pairs), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # torch.ao and its observers are deprecated; models made by them are about
def test_quantised_layers_are_asked_themselves():
    model = torch.ao.quantization.quantize_dynamic(tiny_model("bert"), {nn.Linear}, dtype=torch.qint8)
    pairs = random_pairs("bert", LENGTHS)
    # Dynamic quantisation looks at the largest number of a batch, so company changes a logit; one pair at a time.
    np.testing.assert_allclose(padded(model, max_batch_tokens=1).logits(pairs), stock_logits(model, pairs), atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_act": "silu"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"is_decoder": True, "add_cross_attention": True},
    ],
)
def test_settings_that_change_the_forward_pass_take_the_padded_path(settings):
    padded(tiny_model("bert", **settings))


def test_weights_that_are_not_in_float32_take_the_padded_path():
    padded(tiny_model("bert").to(torch.float64))


def test_segments_reach_a_model_that_has_them():
    model = tiny_model("bert", hidden_act="silu")
    pairs = random_pairs("bert", LENGTHS)
    np.testing.assert_allclose(padded(model).logits(pairs), stock_logits(model, pairs), rtol=0, atol=1e-5)
