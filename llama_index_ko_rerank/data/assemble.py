"""From rows in file order to one collection and the questions of a split."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llama_index_ko_rerank.data.dataset import PassageCollector, Question, RetrievalDataset, require_rows
from llama_index_ko_rerank.errors import MalformedData

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
