"""Key phrases of passages, and the searches made of those that together stand in one passage only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.train.synthesis.nouns import is_vague, kind_of, phrase_text
from llama_index_ko_rerank.train.synthesis.parsing import ParsedPassage, Sentence

MOST_PHRASES = 16
"""How many key phrases of a passage are kept to choose from."""

_PLAIN = re.compile(r"""["'“”‘’「」『』《》〈〉]""")
_ODD = re.compile(r"[\[\]{}<>/\\=|;:]|등$|제\d|^호|(?:^| )(?:등|및|또는)(?: |$)")
_LONGEST_PHRASE, _LONGEST_QUERY = 20, 45


@dataclass(frozen=True, slots=True)
class KeyPhrase:
    """Nouns that stand together in a passage.

    Attributes:
        text: As they are written, without particles.
        terms: The numbers of their morphemes in the `TermIndex`.
        count: How often the phrase stands in the passage.
    """

    text: str
    terms: tuple[int, ...]
    count: int


class TermIndex:
    """Which passages hold which content morphemes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[NDArray[np.int32]] = []
        self._counts: NDArray[np.int64] | None = None
        self._owners: NDArray[np.int32] | None = None
        self._starts: NDArray[np.int64] | None = None

    def add(self, terms: Sequence[str]) -> None:
        """Add the morphemes of the next passage."""
        numbers = {self._numbers.setdefault(term, len(self._numbers)) for term in terms}
        self._rows.append(np.fromiter(numbers, np.int32, len(numbers)))

    def numbers(self, terms: Iterable[str]) -> tuple[int, ...]:
        """Number morphemes; unknown ones are left out."""
        return tuple(dict.fromkeys(self._numbers[term] for term in terms if term in self._numbers))

    def finish(self) -> None:
        """Turn the table round once all passages are there."""
        lengths = np.array([len(row) for row in self._rows], np.int64)
        terms = np.concatenate(self._rows) if self._rows else np.zeros(0, np.int32)
        self._counts = np.bincount(terms, minlength=len(self._numbers))
        order = np.argsort(terms, kind="stable")
        self._owners = np.repeat(np.arange(len(self._rows), dtype=np.int32), lengths)[order]
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        self._rows = []

    def __len__(self) -> int:
        return (
            len(self._rows) if self._starts is None or self._owners is None else int(self._owners.max(initial=-1)) + 1
        )

    def document_frequency(self, term: int) -> int:
        """Count the passages that hold a morpheme."""
        assert self._counts is not None
        return int(self._counts[term])

    def rarest(self, terms: Iterable[int]) -> int | None:
        """Count the passages that hold the rarest of some morphemes; None where there are no morphemes."""
        return min((self.document_frequency(term) for term in terms), default=None)

    def holders(self, terms: Sequence[int]) -> NDArray[np.int32]:
        """List the passages that hold all of some morphemes, at least one, by their place."""
        assert self._owners is not None
        assert self._starts is not None
        found: NDArray[np.int32] | None = None
        for term in sorted(set(terms), key=self.document_frequency):
            owners = self._owners[self._starts[term] : self._starts[term + 1]]
            found = owners if found is None else found[np.isin(found, owners, assume_unique=True)]
            if len(found) <= 1:
                break
        return np.zeros(0, np.int32) if found is None else found


def key_phrases(read: ParsedPassage, index: TermIndex) -> tuple[KeyPhrase, ...]:
    """Collect the noun phrases of a passage, those that stand there most often first."""
    counts: Counter[str] = Counter()
    terms: dict[str, tuple[int, ...]] = {}
    for sentence in read.sentences:
        for text, morphemes in _phrases(sentence):
            counts[text] += 1
            terms.setdefault(text, index.numbers(morphemes))
    best = sorted(counts, key=lambda text: (-counts[text], -min(len(text), 10)))[:MOST_PHRASES]
    return tuple(KeyPhrase(text, terms[text], counts[text]) for text in best if terms[text])


def key_phrase_query(phrases: Sequence[KeyPhrase], index: TermIndex, rng: Random) -> str:
    """Choose two to five phrases of high tf-idf that no other passage holds together; empty where none do.

    A phrase weighs its count times the sum of log(passages / passages with the morpheme); heavier ones are drawn more
    often, and their order is by chance.
    """
    passages = max(2, len(index))
    weights = [p.count**0.5 * sum(np.log(passages / index.document_frequency(t)) for t in p.terms) for p in phrases]
    left = {place: float(weight) for place, weight in enumerate(weights) if weight > 0}
    chosen: list[KeyPhrase] = []
    while left and len(chosen) < 5:
        place = rng.choices(list(left), list(left.values()))[0]
        del left[place]
        phrase = phrases[place]
        if any(set(phrase.terms) <= set(other.terms) or set(other.terms) <= set(phrase.terms) for other in chosen):
            continue
        if sum(len(p.text) + 1 for p in chosen) + len(phrase.text) > _LONGEST_QUERY:
            continue
        chosen.append(phrase)
        if len(chosen) >= 2 and len(index.holders([t for p in chosen for t in p.terms])) <= 1:
            break
    if len(chosen) < 2 or len(index.holders([t for p in chosen for t in p.terms])) > 1:
        return ""
    rng.shuffle(chosen)
    return " ".join(phrase.text for phrase in chosen)


def _phrases(sentence: Sentence) -> Iterator[tuple[str, list[str]]]:
    """Find runs of bare nouns, the last of which may bear a particle."""
    start = 0
    for place, word in enumerate(sentence):
        if not word.is_nominal:
            start = place + 1
            continue
        if word.particle or word.comma or place == len(sentence) - 1 or not sentence[place + 1].is_nominal:
            run = sentence[max(start, place - 2) : place + 1]
            start = place + 1
            while len(run) > 1 and (is_vague(run[0]) or len(run[0].noun) < 2):
                run = run[1:]
            text = _PLAIN.sub("", phrase_text(run)).strip()
            if (
                not _ODD.search(text)
                and not is_vague(run[0])
                and 2 <= len(text) <= _LONGEST_PHRASE
                and kind_of(run) not in (None, "quantity")
            ):
                yield text, [term for part in run for term in part.terms]
