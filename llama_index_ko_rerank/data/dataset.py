"""What every data set becomes: passages to search, questions with their passages, or labelled sentence pairs."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, NamedTuple

from llama_index_ko_rerank.errors import EmptyCorpus


@dataclass(frozen=True, slots=True)
class Passage:
    """One text that can be found.

    Attributes:
        id: Unique in its data set, and the same on every load.
        text: The context, NFC.
        title: The document or article that it stands in; empty where unknown.
    """

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One question and the passages that answer it.

    Attributes:
        id: Unique in its data set.
        text: The question, NFC.
        passage_ids: The passages that answer it, at least one.
        answers: The answer strings, where the data set has them.
    """

    id: str
    text: str
    passage_ids: tuple[str, ...]
    answers: tuple[str, ...] = ()


class TrainingPair(NamedTuple):
    """A question, a context that answers it, and the title of that context's document."""

    question: str
    context: str
    title: str


@dataclass(frozen=True, slots=True)
class RetrievalDataset:
    """A collection and the questions to ask of it.

    Attributes:
        name: The spec that it was loaded by.
        split: The split that its questions come from.
        passages: The whole collection that is searched, in document order; no two have the same text.
        questions: The questions of the split; every passage id that they name is in `passages`.
    """

    name: str
    split: str
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]

    def pairs(self) -> list[TrainingPair]:
        """List each question with each of its contexts, in the order of the questions."""
        by_id = {passage.id: passage for passage in self.passages}
        return [
            TrainingPair(question.text, by_id[passage_id].text, by_id[passage_id].title)
            for question in self.questions
            for passage_id in question.passage_ids
        ]

    def with_questions(self, questions: Iterable[Question], split: str | None = None) -> RetrievalDataset:
        """Return the same collection with other questions."""
        return RetrievalDataset(self.name, split or self.split, self.passages, tuple(questions))


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences and how much they mean the same.

    Attributes:
        label: A similarity in 0-1 (a float), or a class (an integer).
    """

    sentence1: str
    sentence2: str
    label: float | int


@dataclass(frozen=True, slots=True)
class PairDataset:
    """Labelled sentence pairs of one split."""

    name: str
    split: str
    pairs: tuple[SentencePair, ...]


class PassageCollector:
    """Gather passages in document order, one for each distinct text.

    Several questions of KLUE MRC and KorQuAD share one context, so that a hit must be judged by text; here equal
    texts (after NFC) get one id, and equality of ids is equality of texts.

    Args:
        reserved: Ids that will be given to `add`, and so are never made up here.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._by_text: dict[str, Passage] = {}
        taken = frozenset(reserved)
        self._free_ids = (name for name in (f"p{number:05d}" for number in count()) if name not in taken)

    def add(self, text: str, *, title: str = "", passage_id: str | None = None) -> str:
        """Add a text unless it is there, and return its passage id.

        Args:
            text: The passage.
            title: Its title; of several for one text, the first that is not empty stays.
            passage_id: An id of its own; ``p00000`` and so on where None. A text that is there keeps the id it has.
        """
        text, title = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", title)
        known = self._by_text.get(text)
        if known is None:
            known = Passage(passage_id or next(self._free_ids), text, title)
            self._by_text[text] = known
        elif title and not known.title:
            self._by_text[text] = replace(known, title=title)
        return known.id

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages so far, in the order of their first appearance."""
        return tuple(self._by_text.values())


def require_rows(rows: Sequence[object], what: str) -> None:
    """Raise `EmptyCorpus` where there are no rows."""
    if not rows:
        raise EmptyCorpus(f"{what} holds nothing to work on")


DatasetKind = Literal["retrieval", "sentence-pairs"]


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """What a spec stands for.

    Attributes:
        kind: Whether it holds questions with passages, or labelled sentence pairs.
        splits: The splits that it can give, in the order of the data set.
        load: Takes one of the splits, and reads it.
    """

    kind: DatasetKind
    splits: tuple[str, ...]
    load: Callable[[str], RetrievalDataset | PairDataset]
