"""KorQuAD's questions in two parts that share no article: those that anything may learn from, and those measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.paths import DATA
from llama_index_ko_rerank.data import Question, RetrievalDataset, load_dataset

NAME = "squad:KorQuAD_v1.0_dev.json"
DEVELOPMENT_SHARE = 5
"""For `--split tune` one article of so many is measured, and the others are learnt from."""
HELD_OUT_SHARE = 3
"""Of the articles that are learnt from, one of so many is kept from a cross-encoder, and weighs what it says."""


def korquad(
    split: str, *, questions: int | None = None, learning_questions: int | None = None
) -> tuple[RetrievalDataset, RetrievalDataset]:
    """Return what may be learnt from and what is measured.

    Args:
        split: ``test`` learns from `tune` and measures `test`; ``tune``, for development, divides `tune`.
        questions: The most questions to measure, evenly spaced; all where None.
        learning_questions: The most to learn from, likewise.
    """
    spec = f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}"
    learning, measured = (replace(load_dataset(spec, part), name=NAME) for part in ("tune", "test"))
    if split == "tune":
        learning, measured = divided(learning, DEVELOPMENT_SHARE)
    return (
        replace(learning, questions=_spaced(learning.questions, learning_questions)),
        replace(measured, questions=_spaced(measured.questions, questions)),
    )


def divided(dataset: RetrievalDataset, share: int) -> tuple[RetrievalDataset, RetrievalDataset]:
    """Put one document of `share` aside with all its questions; the collection stays whole on both sides."""
    titles = {passage.id: passage.title for passage in dataset.passages}
    documents = list(dict.fromkeys(titles[question.passage_ids[0]] for question in dataset.questions))
    aside = set(documents[share - 1 :: share])
    is_aside = [titles[question.passage_ids[0]] in aside for question in dataset.questions]
    chosen = list(zip(dataset.questions, is_aside, strict=True))
    return (
        dataset.with_questions(question for question, out in chosen if not out),
        dataset.with_questions(question for question, out in chosen if out),
    )


def _spaced(questions: Sequence[Question], most: int | None) -> tuple[Question, ...]:
    if most is None or most >= len(questions):
        return tuple(questions)
    return tuple(questions[place * len(questions) // most] for place in range(most))
