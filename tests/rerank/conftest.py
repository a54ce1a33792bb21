"""A BERT of two small layers with random weights, over WordPieces learnt from a few sentences."""

import pytest
import torch
from llama_index.core.schema import NodeWithScore, TextNode
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

TEXTS = [
    "연차는 사흘 전에 팀장에게 신청한다",
    "출장비는 돌아온 날부터 이레 안에 청구한다",
    "회의실은 하루 전에 예약하고 다 쓰면 불을 끈다",
    "점심 식대는 하루 만 원까지 회사가 낸다",
    "노트북은 입사한 날 총무팀에서 받는다",
    "주차장은 방문객이 먼저 쓴다",
]
MAX_LENGTH = 64
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def learn_word_pieces():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(SPECIAL.values()), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    places = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=places
    )
    return tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small are slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def word_pieces():
    return learn_word_pieces()


@pytest.fixture(scope="session")
def tokenizer(word_pieces):
    return PreTrainedTokenizerFast(tokenizer_object=word_pieces, model_max_length=MAX_LENGTH, **SPECIAL)


@pytest.fixture(scope="session")
def sizes(word_pieces):
    """The settings of a tiny model; weights this large make scores that differ from one passage to the next."""
    return {
        "vocab_size": word_pieces.get_vocab_size(),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_LENGTH,
        "initializer_range": 0.4,
    }


@pytest.fixture(scope="session")
def save_bert(sizes, tokenizer):
    """Write a tiny BERT of a given class into a folder, its weights drawn from one seed."""

    def save(folder, kind=BertForSequenceClassification, *, tokenizer=tokenizer, **config):
        torch.manual_seed(7)
        model = kind(BertConfig(**{**sizes, "num_labels": 1, **config}))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def save_roberta(sizes, word_pieces):
    """Write a tiny RoBERTa, which keeps places for padding, with a tokenizer that does not know its longest input."""

    def save(folder):
        torch.manual_seed(7)
        config = RobertaConfig(**{**sizes, "num_labels": 1, "pad_token_id": 1, "type_vocab_size": 2})
        RobertaForSequenceClassification(config).save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=word_pieces, **SPECIAL).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def model(save_bert, tmp_path_factory):
    """The folder of a cross-encoder as sentence-transformers saves it."""
    plain = save_bert(tmp_path_factory.mktemp("bert"))
    folder = tmp_path_factory.mktemp("모형") / "cross-encoder"
    CrossEncoder(str(plain)).save_pretrained(str(folder))
    return str(folder)


@pytest.fixture(scope="session")
def stock(model):
    """The same model as sentence-transformers runs it."""
    return CrossEncoder(model, device="cpu")


@pytest.fixture
def texts():
    return list(TEXTS)


@pytest.fixture
def found():
    """The six passages as a first stage hands them over."""
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"n{place}", metadata={"쪽": place}), score=0.9 - place / 10)
        for place, text in enumerate(TEXTS)
    ]
