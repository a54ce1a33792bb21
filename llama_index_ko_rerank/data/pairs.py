"""The user's own pairs: questions with contexts, or labelled sentence pairs, told apart by their fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from llama_index_ko_rerank.data.dataset import (
    ALL,
    DatasetKind,
    DatasetSource,
    Entry,
    PairDataset,
    SentencePair,
    assemble,
)
from llama_index_ko_rerank.data.records import Record, read_records
from llama_index_ko_rerank.errors import MalformedData

DEFAULT_SPLIT = "train"


def open_pairs(spec: str, path: Path) -> DatasetSource:
    """Read a file of pairs.

    The first row's fields say which of two layouts the file has; every other row must be in the same one.

    * ``question, context[, title, id, split]``: a row with no question (missing, null or empty) only adds its
      passage, and its `id` is then the passage's. The `id` of a row with a question is the question's; rows with
      one question id, or with no id and one question text, are one question with several passages. The collection
      of every split is every passage of the file.
    * ``sentence1, sentence2, label[, split]``: where every label of the file is a whole number, labels are classes
      from 0; where one is written with a point, all are similarities in 0-1.

    The splits are the values of `split`, a row without it counting as `train`, and `all`.

    Args:
        spec: The spec that the data set is named by.
        path: A JSONL file, or a JSON file that is a list of such rows.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: The file is in neither layout, or not in one throughout.
        EmptyCorpus: The file has no rows.
    """
    rows = read_records(path)
    if _kind(rows[0]) == "sentence-pairs":
        return _sentence_source(spec, rows)
    entries = _entries(rows)
    splits = _split_names(entry.split for entry in entries if entry.question)
    return DatasetSource("retrieval", splits, lambda split: assemble(spec, split, entries))


def _kind(row: Record) -> DatasetKind:
    is_sentences, is_retrieval = "sentence1" in row.values, "context" in row.values
    if is_sentences == is_retrieval:
        raise MalformedData(
            f"{row.where}: needs question and context, or sentence1, sentence2 and label; "
            f"the row has {', '.join(map(str, row.values)) or 'no fields'}"
        )
    return "sentence-pairs" if is_sentences else "retrieval"


def _split_of(row: Record) -> str:
    split = row.optional_text("split")
    if split == ALL:
        raise row.error("split", f"{ALL!r} is the name of all splits together; choose another")
    return split or DEFAULT_SPLIT


def _split_names(splits: Iterable[str]) -> tuple[str, ...]:
    return (*dict.fromkeys(splits), ALL)


def _entries(rows: Sequence[Record]) -> list[Entry]:
    given = {row.optional_identifier("id") for row in rows}
    free_ids = (name for name in (f"q{number:05d}" for number in count()) if name not in given)
    made_ids: dict[str, str] = {}
    entries = []
    for row in rows:
        question, row_id = row.optional_text("question"), row.optional_identifier("id")
        if question and not row_id:
            row_id = made_ids.get(question) or made_ids.setdefault(question, next(free_ids))
        entries.append(
            Entry(
                row.where,
                row.text("context"),
                row.title(),
                passage_id="" if question else row_id,
                question=question,
                question_id=row_id if question else "",
                split=_split_of(row),
            )
        )
    return entries


def _sentence_source(spec: str, rows: Sequence[Record]) -> DatasetSource:
    splits = [_split_of(row) for row in rows]
    labels = _labels(rows)
    pairs = [
        SentencePair(row.text("sentence1"), row.text("sentence2"), label)
        for row, label in zip(rows, labels, strict=True)
    ]

    def load(split: str) -> PairDataset:
        kept = (pair for pair, own_split in zip(pairs, splits, strict=True) if split in (ALL, own_split))
        return PairDataset(spec, split, tuple(kept))

    return DatasetSource("sentence-pairs", _split_names(splits), load)


def _labels(rows: Sequence[Record]) -> list[float | int]:
    labels = [row.number("label") for row in rows]
    are_classes = all(isinstance(label, int) for label in labels)
    for row, label in zip(rows, labels, strict=True):
        if label < 0 or (label > 1 and not are_classes):
            raise row.error(
                "label", f"{label} is neither a similarity in 0-1 nor, in a file of whole numbers only, a class from 0"
            )
    return labels if are_classes else [float(label) for label in labels]
