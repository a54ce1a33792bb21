import copy

import numpy as np
import pytest
import torch

from llama_index_ko_rerank.models.quantized_embedding import QuantizedEmbedding

ROWS, BLOCKS = 5, 3


@pytest.fixture
def scales():
    return np.random.default_rng(0).normal(size=(ROWS, BLOCKS)).astype(np.float16)


@pytest.fixture
def nibbles():
    return np.random.default_rng(1).integers(0, 16, size=(ROWS, BLOCKS, 32))


@pytest.fixture
def expected(scales, nibbles):
    """The rows by hand: (nibble - 8) * scale."""
    values = (nibbles - 8) * scales.astype(np.float32)[:, :, None]
    return torch.from_numpy(values.reshape(ROWS, -1).astype(np.float32))


@pytest.fixture
def embedding(scales, nibbles):
    packed = np.zeros((ROWS, BLOCKS, 18), np.uint8)
    packed[:, :, :2] = scales.astype("<f2").view(np.uint8).reshape(ROWS, BLOCKS, 2)
    packed[:, :, 2:] = nibbles[:, :, :16] | nibbles[:, :, 16:] << 4
    return QuantizedEmbedding(torch.from_numpy(packed.reshape(ROWS, -1)), padding_idx=1)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_rows_are_scale_times_nibble_minus_eight_in_the_shape_of_the_ids(embedding, expected, dtype):
    ids = torch.tensor([[4, 0, 0], [2, 1, 3]], dtype=dtype)
    assert torch.equal(embedding(ids), expected[ids.long()])
    assert embedding(ids[:0]).shape == (0, 3, BLOCKS * 32)
    assert (embedding.num_embeddings, embedding.embedding_dim) == (ROWS, BLOCKS * 32)


def test_a_look_up_gives_the_dtype_that_the_model_is_moved_to(embedding, expected):
    assert torch.equal(copy.deepcopy(embedding).bfloat16()(torch.arange(ROWS)), expected.bfloat16())
    assert embedding(torch.arange(ROWS)).dtype == torch.float32


def test_a_saved_state_is_real_floats_and_loads_into_a_plain_embedding(embedding, expected):
    state = embedding.state_dict()
    assert list(state) == ["weight"]
    plain = torch.nn.Embedding(ROWS, BLOCKS * 32)
    plain.load_state_dict(state)
    assert torch.equal(plain.weight, expected)


def test_its_own_state_loads_and_another_is_refused(embedding):
    embedding.load_state_dict(embedding.state_dict())
    with pytest.raises(RuntimeError, match=r"to_float\(\) first"):
        embedding.load_state_dict({"weight": embedding.state_dict()["weight"] + 1})


def test_floats_can_learn_and_four_bits_cannot(embedding, expected):
    floats = embedding.to_float()
    assert floats.weight.requires_grad
    assert floats.padding_idx == 1
    assert torch.equal(floats.weight.detach(), expected)
    assert not list(embedding.parameters())
