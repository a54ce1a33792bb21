"""SQuAD and KorQuAD files, with the two halves that every measurement of this project uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llama_index_ko_rerank.data.dataset import ALL, DatasetSource, Entry, RetrievalDataset, assemble
from llama_index_ko_rerank.data.records import Record, read_object


def read_articles(path: Path, *, id_field: str, split: str = "") -> list[list[Entry]]:
    """Read one list of entries for each article of a file, in file order.

    A paragraph with no question gives one entry that only adds its passage, and so does an impossible question.

    Args:
        path: A JSON file ``{"data": [{"title", "paragraphs": [{"context", "qas": [{"question", ID, "answers":
            [{"text", "answer_start"}], "is_impossible"}]}]}]}``; `title`, `answers` and `is_impossible` may be missing.
        id_field: What the file calls a question's id: ``id`` in SQuAD, ``guid`` in KLUE.
        split: The split that the entries are marked with.

    Raises:
        DatasetUnavailable: The file cannot be read.
        MalformedData: The file is not in this layout.
        EmptyCorpus: The file is empty.
    """
    document = read_object(path)
    document.required("data")
    return [list(_article_entries(article, id_field, split)) for article in document.records("data")]


def answer_text(answer: Record, context: str) -> str:
    """Take an answer's text, checking that it does not start outside its context.

    Args:
        answer: A row with `text` and, where it is known, `answer_start`, an offset in characters.
        context: The context as the file has it; an offset that misses its text is no error.

    Raises:
        MalformedData: A field has another type, or the offset is out of range.
    """
    text = answer.string("text")
    if answer.values.get("answer_start") is not None:
        start = answer.number("answer_start")
        if not isinstance(start, int):
            raise answer.error("answer_start", f"must be a whole number, not {start}")
        if not 0 <= start < len(context):
            raise answer.error("answer_start", f"{start} is outside the context of {len(context)} characters")
    return text


def _article_entries(article: Record, id_field: str, split: str) -> Iterator[Entry]:
    title = article.title()
    article.required("paragraphs")
    for paragraph in article.records("paragraphs"):
        context, raw_context = paragraph.text("context"), str(paragraph.values["context"])
        questions = paragraph.records("qas")
        if not questions:
            yield Entry(paragraph.where, context, title)
        for question in questions:
            if question.boolean("is_impossible"):
                yield Entry(question.where, context, title, is_impossible=True)
                continue
            yield Entry(
                question.where,
                context,
                title,
                question=question.text("question"),
                question_id=question.identifier(id_field),
                answers=tuple(answer_text(answer, raw_context) for answer in question.records("answers")),
                split=split,
            )


_SPLITS = ("tune", "test", ALL)


def open_squad(spec: str, path: Path) -> DatasetSource:
    """Find a SQuAD file.

    `tune` has the questions of the articles with an even number, `test` those with an odd one, counted from 0 in
    file order, and `all` both. The collection is always every paragraph of the file.

    Args:
        spec: The spec that the data set is named by.
        path: A JSON file in the layout of SQuAD 1.1 or 2.0; impossible questions only add their paragraph.
    """
    return DatasetSource("retrieval", _SPLITS, lambda split: _load(spec, path, split))


def _load(spec: str, path: Path, split: str) -> RetrievalDataset:
    entries = [
        replace(entry, split="tune" if number % 2 == 0 else "test")
        for number, article in enumerate(read_articles(path, id_field="id"))
        for entry in article
    ]
    return assemble(spec, split, entries)
