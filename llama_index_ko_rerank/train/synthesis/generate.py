"""Korean questions made by rules from passages that nobody has asked about."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from llama_index_ko_rerank.data.dataset import Passage
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, nearest
from llama_index_ko_rerank.train.synthesis.clauses import clauses_of
from llama_index_ko_rerank.train.synthesis.cloze import cloze_drafts
from llama_index_ko_rerank.train.synthesis.draft import KINDS, Draft, Kind, Noise, noisy_text
from llama_index_ko_rerank.train.synthesis.filters import question_fault, question_key
from llama_index_ko_rerank.train.synthesis.keyphrases import KeyPhrase, TermIndex, key_phrase_query, key_phrases
from llama_index_ko_rerank.train.synthesis.parsing import ParsedPassage, parse_passages, tidy
from llama_index_ko_rerank.train.synthesis.templates import definition_drafts, heading_drafts

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
    return _distinct(chosen)


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


def _distinct(questions: Sequence[SyntheticQuery]) -> list[SyntheticQuery]:
    """Drop questions that two passages would answer, and repeats within one."""
    passages: dict[str, set[str]] = {}
    for question in questions:
        passages.setdefault(question_key(question.text), set()).add(question.passage_id)
    seen: set[str] = set()
    kept = []
    for question in questions:
        key = question_key(question.text)
        if len(passages[key]) == 1 and key not in seen:
            seen.add(key)
            kept.append(question)
    counts = Counter(question.kind for question in kept)
    _logger.info("made %d questions: %s", len(kept), ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)))
    return kept
