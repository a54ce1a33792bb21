"""The nested layout of SQuAD, KorQuAD and KLUE MRC: articles, their paragraphs, the questions on each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llama_index_ko_rerank.data.assemble import Entry
from llama_index_ko_rerank.data.files import read_object
from llama_index_ko_rerank.data.rows import Row


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
    return [list(_article_entries(article, id_field, split)) for article in document.rows("data")]


def answer_text(answer: Row, context: str) -> str:
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
            raise answer.fault("answer_start", f"must be a whole number, not {start}")
        if not 0 <= start < len(context):
            raise answer.fault("answer_start", f"{start} is outside the context of {len(context)} characters")
    return text


def _article_entries(article: Row, id_field: str, split: str) -> Iterator[Entry]:
    title = article.title()
    article.required("paragraphs")
    for paragraph in article.rows("paragraphs"):
        context, raw_context = paragraph.text("context"), str(paragraph.values["context"])
        questions = paragraph.rows("qas")
        if not questions:
            yield Entry(paragraph.where, context, title)
        for question in questions:
            if question.flag("is_impossible"):
                yield Entry(question.where, context, title, is_impossible=True)
                continue
            yield Entry(
                question.where,
                context,
                title,
                question=question.text("question"),
                question_id=question.identifier(id_field),
                answers=tuple(answer_text(answer, raw_context) for answer in question.rows("answers")),
                split=split,
            )
