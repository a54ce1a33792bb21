"""The sample that ships: what the README and the demo promise of it."""

from __future__ import annotations

import json
import unicodedata
from importlib.resources import files

import pytest

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

LIGHT_WORDS = frozenset("하되있없이것수때말보주같알나들안후전중번받쓰오가") | {
    *("경우", "정도", "가능", "필요", "얼마", "무엇", "어디", "누구"),
    *("언제", "우리", "사람", "위하", "대하", "나오", "아니"),
}
SUBSTANCE = frozenset(["NNG", "NNP", "VV", "VA", "XR", "SN", "SL"])


@pytest.fixture(scope="module")
def questions():
    rows = []
    for split in ("train", "validation"):
        text = files("llama_index_ko_rerank.data").joinpath(f"sample/sample_{split}.json").read_text(encoding="utf-8")
        for document in json.loads(text)["data"]:
            for paragraph in document["paragraphs"]:
                rows += [(split, paragraph["context"], row) for row in paragraph["qas"]]
    return rows


def test_it_has_150_passages_and_450_questions_or_more():
    train, validation = load_dataset("sample", "train"), load_dataset("sample", "validation")
    assert train.passages == validation.passages
    assert len(train.passages) >= 150
    assert len(train.questions) + len(validation.questions) >= 450


def test_training_and_validation_share_no_passage_and_no_question():
    train, validation = load_dataset("sample", "train"), load_dataset("sample", "validation")
    assert not {pair.context for pair in train.pairs()} & {pair.context for pair in validation.pairs()}
    assert not {question.text for question in train.questions} & {question.text for question in validation.questions}


def test_every_answer_stands_where_it_says(questions):
    for _, context, row in questions:
        (answer,) = row["answers"]
        assert context[answer["answer_start"] :].startswith(answer["text"])
        assert answer["text"] not in row["question"]


def test_text_is_nfc_and_questions_are_distinct(questions):
    texts = [row["question"] for _, _, row in questions]
    assert len(set(texts)) == len(texts)
    for _, context, row in questions:
        assert unicodedata.is_normalized("NFC", context + row["question"])


def test_a_third_of_the_questions_avoid_their_passages_words(questions):
    paraphrases = [(context, row["question"]) for _, context, row in questions if row["question_type"] == 1]
    assert len(paraphrases) * 3 >= len(questions)
    tokenizer = MorphemeTokenizer()
    streams = list(tokenizer.analyse(text for pair in paraphrases for text in pair))
    substance = [
        {form for form, tag in zip(stream.forms, stream.tags, strict=True) if tag in SUBSTANCE} - LIGHT_WORDS
        for stream in streams
    ]
    shared = [words & asked for words, asked in zip(substance[::2], substance[1::2], strict=True)]
    assert sum(bool(words) for words in shared) <= len(paraphrases) * 0.03, shared
