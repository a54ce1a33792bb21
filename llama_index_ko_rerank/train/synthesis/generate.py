"""Questions made by rules from passages: drafts of every kind, chosen by what is rare in the collection."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, nearest
from llama_index_ko_rerank.train.synthesis.clauses import clauses_of
from llama_index_ko_rerank.train.synthesis.cloze import cloze_drafts
from llama_index_ko_rerank.train.synthesis.draft import KINDS, Draft, Kind, Noise, noisy_text
from llama_index_ko_rerank.train.synthesis.filters import distinct_questions, question_fault
from llama_index_ko_rerank.train.synthesis.nouns import is_vague, kind_of, phrase_text
from llama_index_ko_rerank.train.synthesis.parsing import ParsedPassage, Sentence, parse_passages, tidy
from llama_index_ko_rerank.train.synthesis.templates import definition_drafts, heading_drafts

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


_logger = logging.getLogger(__name__)

_MOST_SENTENCES = 8
"""Sentences of a passage that questions are drawn from, by chance where there are more."""
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_AFTER_THE_FIRST: tuple[Kind, ...] = ("cloze", "definition", "heading", "key_phrases")
"""Which kinds come first once every kind had its turn: those that differ most from one another."""
_MOST_HOLDERS = 8
"""A heading or a definition without its title is ambiguous where more passages than this hold all its words."""


@dataclass(frozen=True, slots=True)
class SyntheticQuery:
    """A question made from a passage.

    Attributes:
        text: The question, NFC.
        passage_id: The passage that answers it.
        kind: How it was made.
        span: Where the answer, or the clue that it was made of, stands in the passage's text, as start and end in
            characters; None where there is no one place.
    """

    text: str
    passage_id: str
    kind: Kind
    span: tuple[int, int] | None = None


@dataclass(slots=True)
class _Made:
    """What was made of one passage before the collection was known."""

    passage: Passage
    drafts: list[tuple[SyntheticQuery, tuple[int, ...], bool]] = field(default_factory=list)
    phrases: tuple[KeyPhrase, ...] = ()


def make_questions(
    passages: Sequence[Passage],
    *,
    seed: int,
    per_passage: int = 3,
    kinds: Sequence[Kind] = KINDS,
    noise: Noise | None = None,
    common_from: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[SyntheticQuery]:
    """Make questions from passages by rules, each with the place of its answer where it has one.

    The kinds: ``heading`` (the heading in front of the text and the title), ``definition`` (what a term is, and what
    is called so), ``cloze`` (a phrase of a clause is asked for) and ``key_phrases`` (phrases that only this passage
    holds together, as typed into a search box). A passage that a kind does not fit gets more of the others, and one
    that says nothing particular may get none. The same passage, seed and settings give the same drafts whatever stands
    beside it; what stands beside it decides only which of them are too common or ambiguous, and which phrases are rare.

    Args:
        passages: The collection, every passage that will be searched.
        seed: Of all draws.
        per_passage: The most questions for one passage.
        kinds: Which kinds to make.
        noise: How often questions are worded otherwise than their passage; the defaults of `Noise` where None.
        common_from: A question is dropped where all its content words stand in more passages than this; 2 % of them,
            and at least 20, where None.
        on_progress: Called with the number of passages read and in all.

    Returns:
        The questions in the order of their passages; no two with the same words.

    Raises:
        EmptyCorpus: There are no passages.
        InvalidSetting: A number is out of range, or a kind is unknown.
        InvalidText: A text holds lone surrogates.
    """
    _check(passages, per_passage, kinds, common_from)
    index = TermIndex()
    noise = noise or Noise()
    collected = []
    titles = {title: tidy(title) for title in {passage.title for passage in passages}}
    for number, read in enumerate(parse_passages(passages), start=1):
        index.add(read.terms)
        collected.append(_make(read, titles[read.passage.title], seed, kinds, noise, index))
        if on_progress:
            on_progress(number, len(passages))
    index.finish()
    limit = max(_COMMON_FLOOR, int(_COMMON_SHARE * len(passages))) if common_from is None else common_from
    chosen = [q for made in collected for q in _chosen(made, index, limit, seed, per_passage, kinds)]
    kept = distinct_questions(chosen)
    counts = Counter(question.kind for question in kept)
    _logger.info("made %d questions: %s", len(kept), ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)))
    return kept


def _check(passages: Sequence[Passage], per_passage: int, kinds: Sequence[Kind], common_from: int | None) -> None:
    if not passages:
        raise EmptyCorpus("there are no passages to make questions from; pass at least one")
    if per_passage < 1:
        raise InvalidSetting(f"per_passage must be 1 or more, not {per_passage}")
    if common_from is not None and common_from < 1:
        raise InvalidSetting(f"common_from must be 1 or more, not {common_from}")
    if not kinds:
        raise InvalidSetting(f"name at least one kind of question; known: {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidSetting(f"there is no kind of question called {kind!r}; {nearest(kind, KINDS)}")


def _generator(seed: int, passage: Passage, use: str) -> Random:
    """Make the draws of a passage its own, whatever stands beside it."""
    digest = hashlib.sha256(f"{seed}\0{use}\0{passage.title}\0{passage.text}".encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def _make(read: ParsedPassage, title: str, seed: int, kinds: Sequence[Kind], noise: Noise, index: TermIndex) -> _Made:
    rng = _generator(seed, read.passage, "drafts")
    made = _Made(read.passage)
    for draft in _drafts(read, title, kinds, rng):
        text = noisy_text(draft, noise, rng)
        if question_fault(text, draft.answer) is None:
            terms = index.numbers(term for piece in draft.pieces for term in piece.terms)
            question = SyntheticQuery(text, read.passage.id, draft.kind, draft.span)
            made.drafts.append((question, terms, draft.is_titled or draft.kind == "cloze"))
    if "key_phrases" in kinds:
        made.phrases = key_phrases(read, index)
    return made


def _drafts(read: ParsedPassage, title: str, kinds: Sequence[Kind], rng: Random) -> Iterator[Draft]:
    if "heading" in kinds and read.heading:
        yield from heading_drafts(read.heading, title, rng)
    sentences = list(read.sentences)
    drawn = sentences if len(sentences) <= _MOST_SENTENCES else rng.sample(sentences, _MOST_SENTENCES)
    acts = _title_is_subject(title, read.passage.text)
    for sentence in drawn:
        if "definition" in kinds:
            yield from definition_drafts(sentence, title, rng)
        if "cloze" in kinds:
            for clause in clauses_of(sentence, title=title, title_acts=acts):
                yield from cloze_drafts(clause, rng)


def _title_is_subject(title: str, text: str) -> bool:
    """Say whether the title is a subject somewhere in the text."""
    return bool(title) and any(title + particle in text for particle in ("은 ", "는 ", "이 ", "가 "))


def _chosen(
    made: _Made, index: TermIndex, common_from: int, seed: int, per_passage: int, kinds: Sequence[Kind]
) -> list[SyntheticQuery]:
    """Choose the questions of a passage, kind by kind in turn."""
    rng = _generator(seed, made.passage, "choice")
    by_kind: dict[Kind, list[SyntheticQuery]] = {kind: [] for kind in kinds}
    for question, terms, is_particular in made.drafts:
        rarest = index.rarest(terms)
        is_common = rarest is not None and rarest > common_from
        if not is_common and (is_particular or (terms and len(index.holders(terms)) <= _MOST_HOLDERS)):
            by_kind[question.kind].append(question)
    for questions in by_kind.values():
        rng.shuffle(questions)
    if "key_phrases" in kinds:
        searches = dict.fromkeys(key_phrase_query(made.phrases, index, rng) for _ in range(2))
        kept = [text for text in searches if text and question_fault(text) is None]
        by_kind["key_phrases"] = [SyntheticQuery(text, made.passage.id, "key_phrases") for text in kept]
    order = [kind for kind in dict.fromkeys(kinds) if by_kind[kind]]
    rng.shuffle(order)
    chosen: list[SyntheticQuery] = []
    for turn in range(per_passage):
        chosen += [by_kind[kind][turn] for kind in order if turn < len(by_kind[kind])]
        order.sort(key=_AFTER_THE_FIRST.index)
    return chosen[:per_passage]
