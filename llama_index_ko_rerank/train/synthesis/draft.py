"""A question while it is made: its words with their particles apart, so that each may still be changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from llama_index_ko_rerank.train.synthesis.conjugation import Register
from llama_index_ko_rerank.train.synthesis.parsing import Word
from llama_index_ko_rerank.train.synthesis.particles import with_particle

Kind = Literal["heading", "definition", "cloze", "key_phrases"]
"""How a question was made."""

KINDS: tuple[Kind, ...] = ("heading", "definition", "cloze", "key_phrases")

_REGISTERS: tuple[Register, ...] = ("polite", "plain", "formal", "casual")
_REGISTER_WEIGHTS = (40, 35, 10, 15)


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a question.

    Attributes:
        text: The noun, or the whole word where it is none.
        particle: In either form; the noun decides which.
        fixed: It asks, or ends the question, and is never changed.
        terms: Its content morphemes.
        comma: A comma follows, as in a list.
    """

    text: str
    particle: str = ""
    fixed: bool = False
    terms: tuple[str, ...] = ()
    comma: bool = False

    def __str__(self) -> str:
        return with_particle(self.text, self.particle) + ("," if self.comma else "")


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that no filter has seen.

    Attributes:
        kind: How it was made.
        pieces: Its words.
        mark: What ends it: ``?`` or nothing.
        span: Where its answer or its clue stands in the passage, as start and end; None where there is no one place.
        answer: The answer, which must not stand in the question; empty where there is none.
        is_titled: It names its document by the title.
    """

    kind: Kind
    pieces: tuple[Piece, ...]
    mark: str = "?"
    span: tuple[int, int] | None = None
    answer: str = ""
    is_titled: bool = False

    @property
    def text(self) -> str:
        """The question as it is asked."""
        return " ".join(str(piece) for piece in self.pieces) + self.mark

    def with_pieces(self, pieces: Iterable[Piece]) -> Draft:
        """Return the same question in other words."""
        return replace(self, pieces=tuple(pieces))


def piece_of(word: Word) -> Piece:
    """Take a word of a passage over."""
    if word.is_nominal:
        return Piece(word.noun, word.particle, terms=tuple(word.terms), comma=word.comma and not word.particle)
    return Piece(word.text, terms=tuple(word.terms))


def pieces_of(words: Sequence[Word]) -> list[Piece]:
    """Take words of a passage over."""
    return [piece_of(word) for word in words]


def asking(text: str) -> Piece:
    """Make a piece that asks or ends a question."""
    return Piece(text, fixed=True)


def draw_register(rng: Random) -> Register:
    """Draw how a question ends."""
    return rng.choices(_REGISTERS, _REGISTER_WEIGHTS)[0]
