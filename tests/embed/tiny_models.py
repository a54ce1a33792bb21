"""Tiny models that the tests build themselves: random weights, a WordPiece or word vocabulary of a few Korean words."""

import random
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, BertTokenizerFast, GraniteConfig, GraniteModel, PreTrainedTokenizerFast

WORDS = [
    *("서울", "부산", "날씨", "비", "눈", "바다", "산", "길", "학교", "공부", "운동", "잠", "기차", "회사", "규정"),
    *("휴가", "신청", "승인", "요리", "김치", "국수", "물", "불", "밥", "은", "는", "이", "가", "을", "를", "에", "도"),
    *("##은", "##는", "##이", "##가", "##을", "##를", "##에", "##도", "query", "passage", ":", "."),
]
DIMENSION = 32


def sentences(number: int, *, seed: int = 0, longest: int = 40) -> list[str]:
    """Make different texts of very different lengths."""
    chance = random.Random(seed)
    plain = [word for word in WORDS if not word.startswith("##")]
    return [" ".join(chance.choices(plain, k=chance.randint(1, longest))) + f" {place % 7}" for place in range(number)]


def wordpiece_tokenizer() -> BertTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: place for place, token in enumerate([*special, *WORDS, *"0123456789"])}
    return BertTokenizerFast(vocab=vocabulary, do_lower_case=False, model_max_length=64)


def word_tokenizer() -> Tokenizer:
    vocabulary = {token: place for place, token in enumerate(["<pad>", "<unk>", "</s>", *WORDS, *"0123456789"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def save_bert(folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Save a bare transformers checkpoint: a random BERT of two layers."""
    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(config).eval().to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_sentence_model(
    folder: Path, *, pooling: str = "mean", prompts: dict[str, str] | None = None, seed: int = 0
) -> Path:
    """Save a sentence-transformers model on a random BERT."""
    bare = save_bert(folder.parent / f"{folder.name}-bare", seed=seed)
    transformer = Transformer(str(bare))
    modules = [transformer, Pooling(DIMENSION, pooling), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


def save_static_model(folder: Path, *, seed: int = 0) -> Path:
    """Save a sentence-transformers model that is a static embedding alone."""
    tokenizer = word_tokenizer()
    torch.manual_seed(seed)
    weights = torch.randn(tokenizer.get_vocab_size(), DIMENSION)
    static = StaticEmbedding(tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder))
    return folder


def save_decoder(folder: Path, *, padding_side: str) -> Path:
    """Save a sentence-transformers model that takes the last token of a random decoder."""
    tokenizer = word_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        padding_side=padding_side,
        model_max_length=64,
    )
    torch.manual_seed(1)
    config = GraniteConfig(
        vocab_size=len(wrapped),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=2,
        initializer_range=0.3,
    )
    bare = folder.parent / f"{folder.name}-bare"
    GraniteModel(config).eval().save_pretrained(bare)
    wrapped.save_pretrained(bare)
    modules = [Transformer(str(bare)), Pooling(DIMENSION, "lasttoken")]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder
