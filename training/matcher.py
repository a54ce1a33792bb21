"""The first weights of the shipped cross-encoder: a small BERT that finds the question's words from its first step.

The first layer tells every token its neighbours (heads 0 and 1, by position) and whether the other text holds the token
(heads 2 and 3); the second, whether it holds the token beside the same neighbour (heads 0 and 1), and how dense such
finds are around (head 2); in the third, [CLS] gathers this from the question, the rare tokens first, and from where the
passage is densest, and the logit is their sum. All of it is ordinary weights, and all of it is trained.

The hidden dimensions have their uses only at the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

HIDDEN, HEADS, LAYERS, WIDTH = 256, 4, 3, 512
_SIZE = HIDDEN // HEADS
_CONTENT = slice(0, 128)
_BEFORE, _AFTER = slice(128, 160), slice(160, 192)
_PLACE = slice(192, 224)
_SEGMENT, _IS_CLS, _IS_SEP, _RARITY = 224, 225, 226, 227
_FOUND = 228
_GATHERED = 240
_SEGMENT_SIZE, _FLAG = 2.0, 3.0
_NORMED = 1.3
"""How much the first layer norm enlarges; later layers see a little less."""


@dataclass(frozen=True)
class MatcherSettings:
    """How sharply the first weights decide.

    Attributes:
        noise: Spread of what is added to every matrix.
        same: The attention score of a token to its like.
        other_text: What is added for a token of the other text, and taken from one of the same.
        nothing: The score of [CLS], which stands for "not there".
        logit: How strongly the logit follows what was gathered.
    """

    noise: float = 0.02
    same: float = 20.0
    other_text: float = 6.0
    nothing: float = 20.0
    logit: float = 0.7


def matcher(
    vectors: NDArray[np.float32],
    rarity: NDArray[np.float32],
    *,
    seed: int,
    settings: MatcherSettings = MatcherSettings(),
) -> BertForSequenceClassification:
    """Make the model.

    Args:
        vectors: A vector for each token, shape (vocabulary, any); only its direction is taken: like tokens start alike.
        rarity: How rare each token is, 0 or more; shape (vocabulary,).
        seed: Of everything random.
        settings: How sharply it decides.
    """
    config = BertConfig(
        vocab_size=len(rarity),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=WIDTH,
        max_position_embeddings=512,
        hidden_act="relu",
        pad_token_id=0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config.num_labels = 1
    model = BertForSequenceClassification(config)
    generator = torch.Generator().manual_seed(seed)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            if "LayerNorm" not in name:
                weight.zero_() if name.endswith("bias") else weight.normal_(0.0, settings.noise, generator=generator)
        frequencies = _frequencies(generator)
        _fill_tables(weights, vectors, rarity, frequencies, generator)
        _fill_first(weights, frequencies, settings, generator)
        _fill_second(weights, settings, generator)
        _fill_third(weights, settings)
    return model


def _frequencies(generator: torch.Generator) -> Tensor:
    """Draw 8 slow and 8 fast turns a token: their sum tells a place from all others."""
    slow = torch.logspace(np.log10(0.03), np.log10(0.4), 8)
    return torch.cat([slow, 0.4 + 2.7 * torch.rand(8, generator=generator)])


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(columns, rows, generator=generator))[0].T


def _fill_tables(
    weights: dict[str, Tensor],
    vectors: NDArray[np.float32],
    rarity: NDArray[np.float32],
    frequencies: Tensor,
    generator: torch.Generator,
) -> None:
    words = weights["bert.embeddings.word_embeddings.weight"]
    content = torch.from_numpy(vectors) @ torch.randn(vectors.shape[1], 128, generator=generator)
    content = torch.nn.functional.normalize(content - content.mean(0), dim=1) * 128**0.5
    content[:5] = torch.nn.functional.normalize(torch.randn(5, 128, generator=generator), dim=1) * 128**0.5
    words.zero_()
    words[:, _CONTENT] = content
    words[:, _RARITY] = torch.from_numpy(rarity) / 4.0
    words[:5, _RARITY] = 0.0
    words[2, _IS_CLS] = _FLAG
    words[3, _IS_SEP] = _FLAG
    angles = torch.arange(512)[:, None] * frequencies
    weights["bert.embeddings.position_embeddings.weight"][:, _PLACE] = torch.stack(
        [angles.sin(), angles.cos()], dim=2
    ).reshape(512, 32)
    segments = weights["bert.embeddings.token_type_embeddings.weight"]
    segments[:, _SEGMENT] = torch.tensor([_SEGMENT_SIZE, -_SEGMENT_SIZE])


@dataclass(frozen=True)
class _Head:
    """The rows of a head in the matrices of its layer."""

    weights: dict[str, Tensor]
    layer: int
    number: int

    def _matrix(self, part: str) -> Tensor:
        return self.weights[f"bert.encoder.layer.{self.layer}.attention.{part}"]

    def rows(self, part: str) -> Tensor:
        """Give the rows of the query, key or value matrix; writing into them writes the weights."""
        return self._matrix(f"self.{part}.weight")[self.number * _SIZE : (self.number + 1) * _SIZE]

    def bias(self, part: str) -> Tensor:
        """Give the bias of the query, key or value."""
        return self._matrix(f"self.{part}.bias")[self.number * _SIZE : (self.number + 1) * _SIZE]

    def out(self) -> Tensor:
        """Give the columns of the output matrix that read this head."""
        return self._matrix("output.dense.weight")[:, self.number * _SIZE : (self.number + 1) * _SIZE]

    def score(self, places: slice, query: Tensor, key: Tensor, gain: float) -> None:
        """Let rows of the query and the key multiply, `gain` for each product of two entries."""
        size = (8.0 * abs(gain)) ** 0.5
        rows = slice(places.start, places.stop)
        self.rows("query")[rows] += size * query * (1.0 if gain >= 0 else -1.0)
        self.rows("key")[rows] += size * key

    def prefer(self, row: int, key: Tensor) -> None:
        """Add to the score of a token, whoever asks: the product of its entries with `key`."""
        self.bias("query")[row] += 8.0**0.5
        self.rows("key")[row] += 8.0**0.5 * key


def _unit(*entries: tuple[int, float]) -> Tensor:
    row = torch.zeros(HIDDEN)
    for place, value in entries:
        row[place] = value
    return row


def _side(sign: float) -> Tensor:
    """Read the segment, as nothing at [CLS]."""
    return sign * _unit((_SEGMENT, 1.0), (_IS_CLS, -_SEGMENT_SIZE / _FLAG))


def _finder(head: _Head, parts: list[Tensor], enlarged: float, settings: MatcherSettings, *, sharper: float) -> None:
    """Let a token find the tokens of the other text that are like it in all parts, or else [CLS]."""
    start = 0
    for part in parts:
        count = len(part)
        entry = settings.same * sharper / len(parts) / (count * enlarged**2)
        head.score(slice(start, start + count), part, part, entry)
        start += count
    segment = _side(1.0)[None]
    other = settings.other_text / (_SEGMENT_SIZE * _NORMED) ** 2
    head.score(slice(62, 63), segment, segment, -other)
    head.prefer(63, _unit((_IS_CLS, settings.nothing * sharper**0.75 / (_FLAG * _NORMED))))
    head.rows("value")[0] = _side(-1.0)


def _fill_first(
    weights: dict[str, Tensor], frequencies: Tensor, settings: MatcherSettings, generator: torch.Generator
) -> None:
    for number, (turn, target) in enumerate(((-1.0, _BEFORE), (1.0, _AFTER))):
        head = _Head(weights, 0, number)
        here, turned = torch.zeros(32, HIDDEN), torch.zeros(32, HIDDEN)
        here[:, _PLACE] = torch.eye(32)
        for pair, angle in enumerate(turn * frequencies):
            sine, cosine = 2 * pair, 2 * pair + 1
            rotation = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
            turned[sine : cosine + 1, 192 + sine : 192 + cosine + 1] = rotation
        head.score(slice(0, 32), turned, here, 1.3 / _NORMED**2)
        head.rows("value")[:32, _CONTENT] = _orthonormal(32, 128, generator)
        head.out()[target, :32] += 0.9 * torch.eye(32)
    for number in (2, 3):
        head = _Head(weights, 0, number)
        read = torch.zeros(62, HIDDEN)
        read[:, _CONTENT] = _orthonormal(62, 128, generator)
        _finder(head, [read], _NORMED, settings, sharper=1.0)
        head.out()[_FOUND + number - 2, 0] = 0.75


def _fill_second(weights: dict[str, Tensor], settings: MatcherSettings, generator: torch.Generator) -> None:
    for number, neighbour in enumerate((_BEFORE, _AFTER)):
        head = _Head(weights, 1, number)
        own, beside = torch.zeros(32, HIDDEN), torch.zeros(30, HIDDEN)
        own[:, _CONTENT] = _orthonormal(32, 128, generator)
        beside[:, neighbour] = torch.eye(32)[:30]
        _finder(head, [own, 1.4 * beside], 1.18, settings, sharper=1.5)
        head.out()[_FOUND + 2 + number, 0] = 0.75
    density = _Head(weights, 1, 2)
    near = torch.zeros(16, HIDDEN)
    near[:, 192:208] = torch.eye(16)
    density.score(slice(0, 16), near, near, 0.8)
    density.prefer(63, _unit((_RARITY, 0.7)))
    for place in range(2):
        density.rows("value")[place, _FOUND + place] = 1.0
        density.out()[_FOUND + 4 + place, place] = 1.0
    soft = _Head(weights, 1, 3)
    read = torch.zeros(62, HIDDEN)
    read[:, _CONTENT] = _orthonormal(62, 128, generator)
    _finder(soft, [read], 1.18, settings, sharper=0.6)
    soft.out()[_FOUND + 6, 0] = 0.75


def _fill_third(weights: dict[str, Tensor], settings: MatcherSettings) -> None:
    question = _Head(weights, 2, 0)
    question.prefer(63, _unit((_SEGMENT, 2.5), (_IS_CLS, -4.0), (_IS_SEP, -4.0), (_RARITY, 1.1)))
    rarest = _Head(weights, 2, 1)
    rarest.prefer(63, _unit((_SEGMENT, 2.5), (_IS_CLS, -4.0), (_IS_SEP, -4.0), (_RARITY, 2.2)))
    densest = _Head(weights, 2, 2)
    found = [(_FOUND + place, -0.8) for place in range(6)]
    densest.prefer(63, _unit((_SEGMENT, -2.5), (_IS_CLS, -4.0), (_IS_SEP, -4.0), (_RARITY, 0.5), *found))
    pooled = torch.zeros(HIDDEN)
    for head, places, first in ((question, 7, _GATHERED), (rarest, 4, _GATHERED + 7), (densest, 5, _GATHERED + 11)):
        for place in range(places):
            head.rows("value")[place, _FOUND + place] = 1.0
            head.out()[first + place, place] += 1.0
            pooled[first + place] = -1.0 if head is densest else 1.0
    weights["bert.pooler.dense.weight"] += 0.4 * torch.eye(HIDDEN)
    weights["classifier.weight"] += settings.logit * pooled[None]
