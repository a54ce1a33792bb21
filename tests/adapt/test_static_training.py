"""What a step learns from, and a run that is broken off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from llama_index_ko_rerank.adapt.static_embedding import PairSampler, fit_static
from llama_index_ko_rerank.data import Passage, Question, load_dataset
from llama_index_ko_rerank.train.models.scratch import learn_vocabulary

STEPS = 45


@pytest.fixture(scope="module")
def passages():
    return load_dataset("sample", "train").passages[:12]


@pytest.fixture(scope="module")
def tokenizer(passages):
    return learn_vocabulary([passage.text for passage in passages])


@pytest.fixture(scope="module")
def sampler(tokenizer, passages):
    questions = [Question("q", f"{passages[0].title}의 내용은 무엇인가요?", (passages[0].id,))]
    return PairSampler(tokenizer, passages, questions, seed=5)


def test_a_step_depends_on_seed_and_number_alone(sampler):
    first, second = sampler.pairs(7, size=6), sampler.pairs(7, size=6)
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    other_step = sampler.pairs(8, size=6)[0]
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first[0], other_step, strict=True))


def test_near_copies_never_stand_in_one_step(tokenizer, passages):
    copy = Passage("copy", passages[0].text + "!", "")
    doubled = PairSampler(tokenizer, [*passages, copy], [], seed=0)
    assert all(len(doubled.pairs(step, size=99)[1]) == len(passages) for step in range(5))


def _module(tokenizer):
    vectors = torch.randn(tokenizer.get_vocab_size(), 16, generator=torch.Generator().manual_seed(1))
    return StaticEmbedding(tokenizer, embedding_weights=vectors)


def test_training_finds_passages_better_and_a_resumed_run_equals_an_unbroken_one(tokenizer, sampler, tmp_path):
    whole, broken = _module(tokenizer), _module(tokenizer)
    options = {"steps": STEPS, "passages_per_step": 8}
    first = fit_static(
        _module(tokenizer), sampler, folder=tmp_path, on_progress=lambda *_: None, steps=1, passages_per_step=8
    )
    loss = fit_static(whole, sampler, folder=tmp_path, on_progress=lambda *_: None, **options)
    assert loss < first

    def interrupt(done, _):
        if done == STEPS - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_static(broken, sampler, folder=tmp_path, on_progress=interrupt, **options)
    done = []
    fit_static(broken, sampler, folder=tmp_path, on_progress=lambda step, _: done.append(step), **options)
    assert done[0] == 41  # from the checkpoint after step 40
    assert torch.equal(whole.embedding.weight, broken.embedding.weight)
    assert not list(tmp_path.iterdir())
