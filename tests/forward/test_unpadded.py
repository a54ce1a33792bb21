import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from transformers import PreTrainedTokenizerFast

from llama_index_ko_rerank.forward.backend import TokenPair, make_backend
from llama_index_ko_rerank.forward.batches import token_budget_batches
from llama_index_ko_rerank.forward.weights import read_weights
from tests.rerank.tiny_cross_encoders import KINDS, LONGEST, PAD, VOCABULARY, random_pairs, stock_logits, tiny_model

LENGTHS = [5, 30, LONGEST, 12, 1, 12, 12, 7, 30, 2]


def packed(model, **settings):
    forward = make_backend(model, pad_token_id=PAD, **settings)
    assert forward.backend == "unpadded"
    return forward


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    return tiny_model(kind)


def test_logits_are_those_of_the_model_itself(kind, model):
    pairs = random_pairs(kind, LENGTHS)
    expected = stock_logits(model, pairs)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(packed(model).logits(pairs), expected, rtol=0, atol=1e-5)


def test_logits_are_those_of_cross_encoder_predict(kind, model, tokenizer, word_pieces, texts, tmp_path):
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if kind != "xlm-roberta" else [])]
    model.save_pretrained(tmp_path)
    special = tokenizer.special_tokens_map
    PreTrainedTokenizerFast(
        tokenizer_object=word_pieces, model_max_length=LONGEST, model_input_names=inputs, **special
    ).save_pretrained(tmp_path)
    stock = CrossEncoder(str(tmp_path), device="cpu")
    question = "연차는 언제 신청하나요"
    passages = [*texts, " ".join(texts)[:70], "짧다", texts[0] * 2]
    expected = stock.predict([(question, passage) for passage in passages], activation_fn=torch.nn.Identity())
    encoded = stock.tokenizer([question] * len(passages), passages, truncation=True)
    pairs = []
    for place, ids in enumerate(encoded["input_ids"]):
        segments = encoded["token_type_ids"][place] if kind != "xlm-roberta" else [0] * len(ids)
        pairs.append(TokenPair(np.array(ids, np.int32), np.array(segments, np.int32)))
    np.testing.assert_allclose(packed(stock.model).logits(pairs)[:, 0], expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def hundred(kind, model):
    pairs = random_pairs(kind, np.random.default_rng(1).integers(1, LONGEST + 1, 40))
    return pairs, stock_logits(model, pairs)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_neither_order_nor_company_nor_token_budget_changes_a_logit(data, model, hundred):
    pairs, expected = hundred
    places = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=20))
    budget = data.draw(st.integers(1, 600))
    logits = packed(model, max_batch_tokens=budget).logits([pairs[place] for place in places])
    np.testing.assert_allclose(logits, expected[places], rtol=0, atol=1e-5)


def test_one_layer_is_enough(kind):
    model = tiny_model(kind, num_hidden_layers=1)
    pairs = random_pairs(kind, LENGTHS)
    np.testing.assert_allclose(packed(model).logits(pairs), stock_logits(model, pairs), rtol=0, atol=1e-5)


def test_several_labels_have_a_column_each(kind):
    model = tiny_model(kind, num_labels=3)
    pairs = random_pairs(kind, LENGTHS)
    logits = packed(model).logits(pairs)
    assert logits.shape == (len(pairs), 3)
    np.testing.assert_allclose(logits, stock_logits(model, pairs), rtol=0, atol=1e-5)
    assert packed(model).logits([]).shape == (0, 3)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
def test_the_activation_is_the_one_of_the_configuration(activation):
    model = tiny_model("bert", hidden_act=activation)
    pairs = random_pairs("bert", LENGTHS)
    np.testing.assert_allclose(packed(model).logits(pairs), stock_logits(model, pairs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_a_padding_token_within_a_text_has_the_place_that_roberta_gives_it(kind):
    model = tiny_model(kind, pad_token_id=1)
    pairs = random_pairs(kind, [9, 20])
    pairs[0].token_ids[[3, 6]] = 1
    np.testing.assert_allclose(packed(model).logits(pairs), stock_logits(model, pairs), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_logits_are_the_same_where_onednn_is_switched_off(kind, model):
    pairs = random_pairs(kind, LENGTHS)
    expected = stock_logits(model, pairs)
    with torch.backends.mkldnn.flags(enabled=False):
        np.testing.assert_allclose(packed(model).logits(pairs), expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(packed(model, dtype="bfloat16").logits(pairs), expected, rtol=0, atol=0.1)


def test_bfloat16_is_off_in_the_third_digit_and_leaves_float32_as_it_was(kind, model):
    pairs = random_pairs(kind, LENGTHS)
    exact, quick = packed(model), packed(model, dtype="bfloat16")
    before = exact.logits(pairs)
    rough = quick.logits(pairs)
    assert (exact.dtype, quick.dtype) == ("float32", "bfloat16")
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - before).max() < 0.1
    np.testing.assert_array_equal(exact.logits(pairs), before)


def test_float32_weights_are_shared_with_the_model(kind, model):
    own = {parameter.data_ptr() for parameter in model.parameters()}
    weights = read_weights(model)
    for layer in weights.layers:
        for part in (layer.query, layer.key, layer.value, layer.attention_output, layer.intermediate, layer.output):
            assert {part.weight.data_ptr(), part.bias.data_ptr()} <= own
    assert weights.embeddings.words.data_ptr() in own


def test_pairs_and_model_are_not_changed(kind, model):
    pairs = random_pairs(kind, LENGTHS)
    tokens = [(pair.token_ids.copy(), pair.segment_ids.copy()) for pair in pairs]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for dtype in ("float32", "bfloat16"):
        packed(model, dtype=dtype).logits(pairs)
    for pair, (token_ids, segment_ids) in zip(pairs, tokens, strict=True):
        np.testing.assert_array_equal(pair.token_ids, token_ids)
        np.testing.assert_array_equal(pair.segment_ids, segment_ids)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_a_token_out_of_the_vocabulary_is_an_error_and_not_a_number():
    pair = TokenPair(np.array([2, VOCABULARY], np.int32), np.zeros(2, np.int32))
    with pytest.raises(IndexError):
        packed(tiny_model("bert")).logits([pair])


@given(lengths=st.lists(st.integers(1, 50), max_size=30), budget=st.integers(1, 200), padded=st.booleans())
def test_chunks_hold_every_pair_once_and_keep_the_budget(lengths, budget, padded):
    pairs = [TokenPair(np.zeros(length, np.int32), np.zeros(length, np.int32)) for length in lengths]
    found = list(token_budget_batches(pairs, budget, padded=padded))
    assert sorted(place for chunk in found for place in chunk) == list(range(len(pairs)))
    for chunk in found:
        sizes = [lengths[place] for place in chunk]
        assert len(chunk) == 1 or (max(sizes) * len(sizes) if padded else sum(sizes)) <= budget
    in_order = [lengths[place] for chunk in found for place in chunk]
    assert in_order == sorted(lengths, reverse=True)
