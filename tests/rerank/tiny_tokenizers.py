"""Tokenizers of the four families, learnt from a few texts."""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertTokenizer, ElectraTokenizer, RobertaTokenizer, XLMRobertaTokenizer

TEXTS = [
    "연차는 사흘 전에 팀장에게 신청한다",
    " 출장비는 돌아온 날부터 이레 안에 청구한다 ",
    "회의실 예약",
    "Latin letters, 2,000 m² 😀",
    "줄을\n바꾸고  두 칸을 띄운다",
    "[SEP] </s> 연차 <s>",
    "",
]


def learn_tokenizer(family, word_pieces):
    """Make the tokenizer of a family; `word_pieces` are those of the BERT kind."""
    if family == "roberta":
        return _byte_pairs()
    if family == "xlm-roberta":
        return _sentence_pieces()
    kind = {"bert": BertTokenizer, "electra": ElectraTokenizer}[family]
    return kind(vocab=word_pieces.get_vocab(), do_lower_case=False, strip_accents=False)


def _read_model(tokenizer):
    return json.loads(tokenizer.to_str())["model"]


def _byte_pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    learnt = _read_model(tokenizer)
    return RobertaTokenizer(vocab=learnt["vocab"], merges=[tuple(merge) for merge in learnt["merges"]])


def _sentence_pieces():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=110, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return XLMRobertaTokenizer(vocab=[tuple(piece) for piece in _read_model(tokenizer)["vocab"]])
