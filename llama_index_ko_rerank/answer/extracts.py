"""The sentences that answer a question, taken from texts as they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from llama_index_ko_rerank.answer.read_passage import ReadPassage, read_passage
from llama_index_ko_rerank.answer.sentence_scores import overlap_scores
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.normalize import check_query, normalize
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

SentenceScorer = Callable[[str, list[str]], Sequence[float] | NDArray[Any]]
"""Takes a question and sentences and returns one number a sentence, larger is better."""


@dataclass(frozen=True, slots=True)
class Extract:
    """One sentence of one source.

    Attributes:
        text: The sentence as it stands in the source.
        source: Number of the source, from 1.
        start: Offset of its first character in the source's text.
        end: Offset after its last character, so that ``source_text[start:end] == text``.
        score: What it was chosen by; larger is better, on the scorer's own scale.
    """

    text: str
    source: int
    start: int
    end: int
    score: float


def extract_sentences(
    question: str, texts: Sequence[str], *, sentences: int = 3, scorer: SentenceScorer | None = None
) -> list[Extract]:
    """Choose the sentences that answer a question best.

    Sentences are scored by `overlap_scores` over content morphemes, or by the scorer where one is given. Equal scores
    keep the reading order, and a sentence that stands in several texts counts once, at its best score.

    Args:
        question: What is asked.
        texts: The sources, the best first.
        sentences: How many are chosen at most, 1 or more.
        scorer: Scores the sentences of all texts in one call.

    Returns:
        The chosen sentences in reading order: by the number of their source, then by their place in it. Fewer than
        asked for where the texts have fewer, none where they are all blank.

    Raises:
        BlankQuery: The question is blank.
        InvalidText: A text or the question holds lone surrogates.
        InvalidSetting: `sentences` is under 1, or the scorer returns NaN or the wrong number of scores.
    """
    question = check_query(question)
    if sentences < 1:
        raise InvalidSetting(f"sentences must be 1 or more, not {sentences}")
    passages = [read_passage(text) for text in texts]
    if not any(passage.sentences for passage in passages):
        return []
    scores = iter(_by_scorer(scorer, question, passages) if scorer else _by_overlap(question, passages))
    candidates = [
        Extract(sentence.text, number, sentence.start, sentence.end, next(scores))
        for number, passage in enumerate(passages, start=1)
        for sentence in passage.sentences
    ]
    distinct: dict[str, Extract] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        distinct.setdefault(normalize(candidate.text), candidate)
    chosen = list(distinct.values())[:sentences]
    return sorted(chosen, key=lambda extract: (extract.source, extract.start))


def _by_overlap(question: str, passages: Sequence[ReadPassage]) -> list[float]:
    words = MorphemeTokenizer().query_tokens(question)
    by_passage = overlap_scores(words, [passage.words for passage in passages])
    return [score for passage in by_passage for score in passage]


def _by_scorer(scorer: SentenceScorer, question: str, passages: Sequence[ReadPassage]) -> list[float]:
    sentences = [sentence.text for passage in passages for sentence in passage.sentences]
    scores = [float(score) for score in scorer(question, sentences)]
    if len(scores) != len(sentences):
        raise InvalidSetting(f"the scorer returned {len(scores)} scores for {len(sentences)} sentences")
    if any(math.isnan(score) for score in scores):
        raise InvalidSetting("the scorer returned NaN for a sentence")
    return scores
