"""Data sets: passages to search, questions with their passages, and labelled sentence pairs."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Literal, NamedTuple

from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData

if TYPE_CHECKING:
    from llama_index.core.schema import TextNode


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


_logger = logging.getLogger(__name__)

ALL = "all"
"""The split that holds the questions of every split."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row says, whatever file it came from.

    Attributes:
        where: File and row, for messages.
        context: The passage's text, NFC.
        title: The title of its document; empty where unknown.
        passage_id: The passage's own id; empty where it has none.
        question: The question that the passage answers, NFC; empty where the row only adds its passage.
        question_id: The question's id, needed where there is a question.
        answers: The answer strings.
        split: The split of the question.
        is_impossible: The row had a question that its passage does not answer; `question` is then empty.
    """

    where: str
    context: str
    title: str = ""
    passage_id: str = ""
    question: str = ""
    question_id: str = ""
    answers: tuple[str, ...] = ()
    split: str = ""
    is_impossible: bool = False


def assemble(spec: str, split: str, entries: Sequence[Entry], *, id_field: str = "id") -> RetrievalDataset:
    """Collect every distinct passage, and the questions of one split.

    Rows with one question id and one question text are one question with several passages. An id stands for one text
    in the whole file, also outside the split.

    Args:
        spec: The data set's spec, its name from here on.
        split: The split whose questions are kept; ``all`` keeps them all.
        entries: The rows, in the order of the file; all of them add to the collection.
        id_field: What the file calls an id, for messages.

    Raises:
        EmptyCorpus: There are no rows.
        MalformedData: One id stands for two texts.
    """
    require_rows(entries, spec)
    given_ids = _given_passage_ids(entries, id_field)
    collector = PassageCollector(reserved=given_ids.values())
    questions: dict[str, Question] = {}
    owners: dict[str, Entry] = {}
    for entry in entries:
        passage_id = collector.add(entry.context, title=entry.title, passage_id=given_ids.get(entry.context))
        if not entry.question:
            continue
        owner = owners.setdefault(entry.question_id, entry)
        if owner.question != entry.question:
            raise _clash(entry, id_field, entry.question_id, owner.where, "question")
        if split in (ALL, entry.split):
            questions[entry.question_id] = _with_passage(questions.get(entry.question_id), entry, passage_id)
    _logger.info(
        "%s, split %s: %d questions; %d passages of %d rows; %d impossible questions left out",
        spec,
        split,
        len(questions),
        len(collector.passages),
        len(entries),
        sum(entry.is_impossible for entry in entries),
    )
    return RetrievalDataset(spec, split, collector.passages, tuple(questions.values()))


def _given_passage_ids(entries: Sequence[Entry], id_field: str) -> dict[str, str]:
    """Map each text that has an id of its own to the first such id."""
    owners: dict[str, Entry] = {}
    ids: dict[str, str] = {}
    for entry in entries:
        if not entry.passage_id:
            continue
        owner = owners.setdefault(entry.passage_id, entry)
        if owner.context != entry.context:
            raise _clash(entry, id_field, entry.passage_id, owner.where, "passage")
        ids.setdefault(entry.context, entry.passage_id)
    return ids


def _clash(entry: Entry, id_field: str, taken: str, first_place: str, what: str) -> MalformedData:
    return MalformedData(
        f"{entry.where}, field {id_field!r}: {taken!r} stands for another {what} already (first at {first_place})"
    )


def _with_passage(known: Question | None, entry: Entry, passage_id: str) -> Question:
    """Start a question, or add one more passage and its answers to it."""
    if known is None:
        return Question(entry.question_id, entry.question, (passage_id,), tuple(dict.fromkeys(entry.answers)))
    return replace(
        known,
        passage_ids=tuple(dict.fromkeys((*known.passage_ids, passage_id))),
        answers=tuple(dict.fromkeys((*known.answers, *entry.answers))),
    )


def dataset_nodes(dataset: RetrievalDataset) -> list[TextNode]:
    """Turn a collection into nodes, in document order, with the passage ids as node ids.

    The title is metadata that neither a model nor BM25 reads, so that every system searches the same text: the passage.
    """
    from llama_index.core.schema import TextNode

    hidden = ["title"]
    return [
        TextNode(
            id_=passage.id,
            text=passage.text,
            metadata={"title": passage.title},
            excluded_embed_metadata_keys=hidden,
            excluded_llm_metadata_keys=hidden,
        )
        for passage in dataset.passages
    ]
