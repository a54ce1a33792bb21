"""The texts that the shipped models learn from, as tokens: documents of sentences, and collections cut out of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[1]
MEASURED_LAWS = ROOT / "benchmarks" / "data" / "statute_questions.jsonl"
SOURCES = (("statutes", "law", 14_000_000), ("tech_docs", "title", 18_000_000))
_SENTENCE_END = re.compile(r"(?<=[다요함음까]\.)\s+|(?<=[!?])\s+|\s*[①-⑳]\s*|\n+")
_SHORTEST, _LONGEST = 12, 700
_HELD_OUT = 40
_PASSAGES_A_DOCUMENT = 10

Tokens = NDArray[np.uint16]


@dataclass(frozen=True)
class Document:
    """A law, or a page of documentation: its title and the sentences of its sections, headings among them."""

    title: str
    sentences: list[str]


@dataclass(frozen=True)
class TokenCorpus:
    """Documents as tokens.

    Attributes:
        tokens: All sentences, one after another.
        sentences: Where each sentence starts, and the end of the last.
        documents: At which sentence each document starts, and the end of the last; the first sentence is its title.
        sources: The source of each document, as its place in `SOURCES`.
        counts: For each token, in how many blocks of eight sentences it stands.
    """

    tokens: Tokens
    sentences: NDArray[np.int64]
    documents: NDArray[np.int64]
    sources: NDArray[np.int64]
    counts: NDArray[np.int64]

    def sentence(self, number: int) -> Tokens:
        """Give the tokens of a sentence."""
        return self.tokens[self.sentences[number] : self.sentences[number + 1]]

    def rarity(self) -> NDArray[np.float32]:
        """Give log((N + 1) / (n + 1)) for each token, in n of N blocks."""
        blocks = (len(self.sentences) - 1) / 8
        return np.log((blocks + 1) / (self.counts + 1)).clip(0.0).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write an npz file."""
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> TokenCorpus:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def documents(data: Path, source: int, *, characters: int | None = None) -> Iterator[Document]:
    """Read whole documents of a source in a shuffled order, up to a number of characters.

    Laws that the statute benchmark asks about are left out.
    """
    name, key, most = SOURCES[source]
    measured = {json.loads(line)["law"] for line in MEASURED_LAWS.read_text(encoding="utf-8").splitlines()}
    rows: dict[str, list[dict[str, str]]] = {}
    for row in parquet.read_table(data / "corpus" / f"{name}.parquet").to_pylist():
        if row[key] not in measured:
            rows.setdefault(row[key], []).append(row)
    total = 0
    for title in Random(11).sample(sorted(rows), len(rows)):
        found = [s for row in rows[title] for s in sentences_of(row["heading"], row["text"])]
        total += sum(map(len, found))
        if total > (characters or most):
            return
        if len(found) > 3:
            yield Document(title, found)


def sentences_of(heading: str, text: str) -> list[str]:
    """Divide a section into sentences, the heading in front of the first."""
    parts = [part.strip()[:_LONGEST] for part in _SENTENCE_END.split(text)]
    parts = [part for part in parts if len(part) >= _SHORTEST]
    return [f"{heading}\n{parts[0]}", *parts[1:]] if parts else []


def tokenised(read: Sequence[Iterator[Document]], tokenizer: Tokenizer) -> TokenCorpus:
    """Turn the documents of each source into tokens."""
    tokens: list[Tokens] = []
    starts, firsts, sources = [0], [], []
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for source, found in enumerate(read):
        for document in found:
            firsts.append(len(starts) - 1)
            sources.append(source)
            texts = [document.title, *document.sentences]
            rows = [np.array(e.ids, np.uint16) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
            tokens += rows
            starts += (starts[-1] + np.cumsum([len(row) for row in rows])).tolist()
            for block in range(1, len(rows), 8):
                counts[np.unique(np.concatenate(rows[block : block + 8]))] += 1
    firsts.append(len(starts) - 1)
    return TokenCorpus(np.concatenate(tokens), np.array(starts), np.array(firsts), np.array(sources), counts)


@dataclass(frozen=True)
class Collection:
    """Passages of some documents, and a search over them.

    Attributes:
        passages: The tokens of each passage.
        sentences: The sentences in each passage, as first and last + 1.
        titles: The sentence that is the title of each passage's document.
        weights: BM25's weight of each token in each passage, without the rarity; passages x vocabulary.
    """

    passages: list[Tokens]
    sentences: list[tuple[int, int]]
    titles: list[int]
    weights: csr_matrix

    def scores(self, question: Tokens, rarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the BM25 score of each passage."""
        wanted = np.zeros(self.weights.shape[1], np.float32)
        kinds = np.unique(question)
        wanted[kinds] = rarity[kinds]
        return self.weights @ wanted


def collection(
    corpus: TokenCorpus, rng: np.random.Generator, *, passages: int, tokens: int, held_out: bool = False
) -> Collection:
    """Cut documents of one source, chosen by chance, into passages of up to so many tokens.

    Every fortieth document is kept for measuring and is in no other collection.
    """
    source = int(rng.integers(len(SOURCES)))
    is_held_out = np.arange(len(corpus.sources)) % _HELD_OUT == 0
    numbers = np.flatnonzero((corpus.sources == source) & (is_held_out == held_out))
    found: list[Tokens] = []
    spans: list[tuple[int, int]] = []
    titles: list[int] = []
    for number in rng.permutation(numbers):
        title, end = int(corpus.documents[number]), int(corpus.documents[number + 1])
        for first, last in _cut(corpus, rng, title + 1, end, tokens):
            found.append(corpus.tokens[corpus.sentences[first] : corpus.sentences[last]][:tokens])
            spans.append((first, last))
            titles.append(title)
        if len(found) >= passages:
            break
    return Collection(found, spans, titles, weights(found, len(corpus.counts)))


def _cut(corpus: TokenCorpus, rng: np.random.Generator, first: int, end: int, tokens: int) -> Iterator[tuple[int, int]]:
    skipped = max(0, end - first - 6 * _PASSAGES_A_DOCUMENT)
    first += int(rng.integers(skipped + 1))
    for _ in range(_PASSAGES_A_DOCUMENT):
        if first >= end:
            return
        length = tokens * rng.uniform(0.45, 1.0)
        last = int(np.searchsorted(corpus.sentences, corpus.sentences[first] + length, side="right")) - 1
        last = min(max(last, first + 1), end)
        if corpus.sentences[last] - corpus.sentences[first] >= 0.2 * tokens:
            yield first, last
        first = last


def weights(passages: Sequence[Tokens], vocabulary: int, *, k1: float = 0.9, b: float = 0.4) -> csr_matrix:
    """Compute BM25's saturated counts, tf / (tf + k1 (1 - b + b length / mean length)).

    Source: Robertson and Zaragoza, Foundations and Trends in Information Retrieval 3(4), 2009.
    """
    lengths = np.array([len(passage) for passage in passages])
    rows = np.repeat(np.arange(len(passages)), lengths)
    columns = np.concatenate(passages).astype(np.int64)
    matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(passages), vocabulary))
    matrix.sum_duplicates()
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    matrix.data /= matrix.data + np.repeat(norm, np.diff(matrix.indptr)).astype(np.float32)
    return matrix
