"""The words of a corpus in a static embedding: whole tokens, and a direction for each beside what was known of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch.nn import functional

from llama_index_ko_rerank.text.kiwi import get_kiwi
from llama_index_ko_rerank.text.normalize import normalize

_NOUNS = frozenset(["NNG", "NNP", "XR", "SL"])
_LEAST_COUNT = 2
_MOST_WORDS = 20_000
_CONTINUES = "##"
_WINDOW = 600


def corpus_words(texts: Sequence[str]) -> list[str]:
    """List the nouns that Kiwi finds twice or more, the most frequent first, in lower case."""
    counts: Counter[str] = Counter()
    for tokens in get_kiwi().tokenize(window for text in texts for window in _windows(text)):
        counts.update(token.form for token in tokens if token.tag.split("-")[0] in _NOUNS and len(token.form) > 1)
    frequent = [word for word, count in counts.items() if count >= _LEAST_COUNT and word.isalpha()]
    return sorted(frequent, key=lambda word: (-counts[word], word))[:_MOST_WORDS]


def _windows(text: str) -> list[str]:
    """Cut a text as long as a passage at most, so that rarity counts passages and not documents."""
    text = normalize(text).lower()
    return [text[start : start + _WINDOW] for start in range(0, len(text), _WINDOW)] or [""]


def extend_vocabulary(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[Tokenizer, list[list[int]]]:
    """Give a WordPiece tokenizer whole tokens for words, at the start of a word and within one.

    Returns:
        The larger tokenizer, and for each new token the tokens that stood for it before. A tokenizer of another kind
        comes back as it is, for its pieces cannot be added to one by one.
    """
    state = json.loads(tokenizer.to_str())
    if state["model"]["type"] != "WordPiece" or state["model"]["continuing_subword_prefix"] != _CONTINUES:
        return tokenizer, []
    vocabulary: dict[str, int] = state["model"]["vocab"]
    known, pieces = dict(vocabulary), []
    for word in words:
        for prefix in ("", _CONTINUES):
            before = _pieces(word, prefix, known)
            if prefix + word not in known and before:
                vocabulary[prefix + word] = len(vocabulary)
                pieces.append(before)
    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False)), pieces


def _pieces(word: str, prefix: str, known: Mapping[str, int]) -> list[int]:
    """Cut a word greedily, as WordPiece does; nothing where it cannot be cut."""
    found, start = [], 0
    while start < len(word):
        end = next((end for end in range(len(word), start, -1) if prefix + word[start:end] in known), None)
        if end is None:
            return []
        found.append(known[prefix + word[start:end]])
        start, prefix = end, _CONTINUES
    return found


def add_random_index(
    module: StaticEmbedding, texts: Sequence[str], *, dimensions: int, seed: int
) -> SentenceTransformer:
    """Make the static embedding that training starts from.

    Each token keeps the direction that it has, and gets one of its own, drawn at random, in `dimensions` more
    dimensions; both count alike, and the whole is as long as the token is rare in the corpus. So two texts are near
    that share rare words, whatever the base knows of these. A new word's known direction is that of the sum of its
    pieces.

    Source: Kanerva et al., "Random Indexing of Text Samples for Latent Semantic Analysis", 2000, for the directions;
    rarity as in Spärck Jones, Journal of Documentation 28(1), 1972: log((N + 1) / (n + 1/2)) for a token in n of N
    texts, which is above 0 even for a token in all of them.

    Args:
        module: The base.
        texts: Of the corpus; long ones count as several of 600 characters.
        dimensions: 0 for none but the base's own.
        seed: Of the directions.
    """
    tokenizer, pieces = extend_vocabulary(module.tokenizer, corpus_words(texts))
    old = module.embedding.weight.detach().float().cpu()
    new = [old[torch.tensor(tokens)].sum(0, keepdim=True) for tokens in pieces]
    weights = functional.normalize(torch.cat([old, *new]), dim=1)
    if dimensions:
        generator = torch.Generator().manual_seed(seed)
        own = torch.randn(len(weights), dimensions, generator=generator) / dimensions**0.5
        weights = torch.cat([weights, own], dim=1)
    rarity = torch.from_numpy(_rarity(tokenizer, texts, len(weights)))
    weights *= rarity[:, None]
    weights *= weights.shape[1] ** 0.5 / weights.norm(dim=1).mean()
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[embedding], device="cpu", similarity_fn_name="cosine")


def _rarity(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> NDArray[np.float32]:
    windows = [window for text in texts for window in _windows(text)]
    counts = np.zeros(size)
    for encoding in tokenizer.encode_batch(windows, add_special_tokens=False):
        counts[np.unique(np.asarray(encoding.ids, np.int64))] += 1
    return np.log((len(windows) + 1) / (counts + 0.5)).astype(np.float32)
