"""Data sets of the notice board, and a tiny base to train from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, MistralConfig, MistralModel, PreTrainedTokenizerFast

from llama_index_ko_rerank.data.dataset import PairDataset, RetrievalDataset
from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.models.scratch import learn_vocabulary
from tests.corpora.training import notice_board, sentence_pairs


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on two threads than on one, and many times slower where others use the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def notices() -> RetrievalDataset:
    return notice_board()


@pytest.fixture
def pairs() -> PairDataset:
    return sentence_pairs()


def tokenizer(**special_tokens: str) -> PreTrainedTokenizerFast:
    vocabulary = learn_vocabulary(read_rows(notice_board()).texts)
    return PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, unk_token="[UNK]", model_max_length=64, **special_tokens
    )


@pytest.fixture(scope="session")
def bare_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers checkpoint of a tiny BERT, with no word of how to pool."""
    return save_bare_bert(tmp_path_factory.mktemp("bases") / "bare-bert", pad_token="[PAD]")


@pytest.fixture(scope="session")
def padless_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a tokenizer that has no pad token."""
    return save_bare_bert(tmp_path_factory.mktemp("bases") / "padless-bert")


def save_bare_bert(folder: Path, **special_tokens: str) -> Path:
    words = tokenizer(**special_tokens)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random language model of the Mistral family, small enough to train in a second."""
    folder = tmp_path_factory.mktemp("bases") / "tiny-mistral"
    words = tokenizer(pad_token="[PAD]", eos_token="[SEP]")
    config = MistralConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=words.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MistralModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
