"""What the rerankers' benchmark asks: models of the book's shapes with random weights, and candidates from KorQuAD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import processors
from transformers import (
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from llama_index_ko_rerank.data.dataset import RetrievalDataset
from llama_index_ko_rerank.text.normalize import normalize
from llama_index_ko_rerank.train.models.scratch import (
    CLS,
    MASK,
    PAD,
    SEP,
    UNKNOWN,
    VocabularySettings,
    learn_vocabulary,
)

CANDIDATES, MAX_LENGTH, VOCABULARY = 30, 512, 32_000
SEED = 7


@dataclass(frozen=True, slots=True)
class Shape:
    """A RoBERTa's size."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


SHAPES = {"6x768": Shape(6, 768, 12, 3072), "6x384": Shape(6, 384, 12, 1536)}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with the texts of its candidates."""

    question: str
    texts: tuple[str, ...]


def write_model(shape: Shape, texts: Sequence[str], folder: Path) -> Path:
    """Write a cross-encoder with random weights and a vocabulary learnt from texts."""
    tokenizer = _tokenizer(texts)
    config = RobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=MAX_LENGTH + 2,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    torch.manual_seed(SEED)
    RobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    # As many pieces as the texts give, so that a paragraph has about as many tokens as with the vocabulary of the book.
    tokenizer = learn_vocabulary(texts, VocabularySettings(characters_per_merge=10, most_tokens=VOCABULARY))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B {SEP}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        pad_token=PAD,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def mixed(dataset: RetrievalDataset, count: int) -> list[Ask]:
    """Draw questions, each with 30 paragraphs as long as they are."""
    return [Ask(question, tuple(texts)) for question, texts in _drawn(dataset, count, paragraphs=CANDIDATES, seed=SEED)]


def equal(dataset: RetrievalDataset, count: int) -> list[Ask]:
    """Draw questions, each with 30 texts of four paragraphs, which a model of 512 tokens reads the beginning of."""
    asks = []
    for question, texts in _drawn(dataset, count, paragraphs=4 * CANDIDATES, seed=SEED + 1):
        asks.append(Ask(question, tuple("\n".join(texts[place::CANDIDATES]) for place in range(CANDIDATES))))
    return asks


def _drawn(dataset: RetrievalDataset, count: int, *, paragraphs: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    draw = np.random.default_rng(seed)
    # As the plugin reads them: the stock reranker does not bring full-width signs to their usual form.
    passages = [normalize(passage.text) for passage in dataset.passages]
    for number in draw.choice(len(dataset.questions), count, replace=False):
        places = draw.choice(len(passages), paragraphs, replace=False)
        yield normalize(dataset.questions[number].text), [passages[place] for place in places]


def pair_lengths(tokenizer: PreTrainedTokenizerBase, ask: Ask) -> list[int]:
    """Count the tokens of each pair as the models read it."""
    questions = [ask.question] * len(ask.texts)
    encoded = tokenizer(questions, list(ask.texts), truncation="only_second", max_length=MAX_LENGTH)
    return [len(ids) for ids in encoded["input_ids"]]


def floating_operations(shape: Shape, lengths: Sequence[int]) -> float:
    """Count the floating-point operations that reading pairs of some lengths takes without padding.

    Two for each multiply and add of the matrix products: all layers but the last for every token, and of the last one
    what the classification token needs.
    """
    tokens, squares = sum(lengths), sum(length * length for length in lengths)
    per_token = 2 * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate)
    attention = 4 * shape.hidden * squares
    last = 4 * shape.heads * shape.hidden * tokens + len(lengths) * (per_token + 2 * shape.hidden**2)
    return float((shape.layers - 1) * (per_token * tokens + attention) + last)
