"""A question as the learning-to-rank features read it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.rerank.answer_type import AnswerType, answer_type
from llama_index_ko_rerank.rerank.lexical_statistics import MORPHEMES, LexicalStatistics, stable_ids
from llama_index_ko_rerank.text.tokenizers import QUESTION_WORDS


@dataclass(frozen=True, slots=True)
class Question:
    """The morphemes that a question describes its answer by, each once, and what it asks for.

    Attributes:
        forms: The morphemes in order of appearance, without question words unless there are no others.
        tags: The Kiwi tag of each.
        ids: The number of each, as `stable_ids` gives them, shape (morphemes,).
        idf: The inverse document frequency of each.
        pairs: The places in `forms` of each two neighbours, every pair once, shape (pairs, 2).
        asks: What kind of answer it asks for.
    """

    forms: tuple[str, ...]
    tags: tuple[str, ...]
    ids: NDArray[np.int64]
    idf: NDArray[np.float64]
    pairs: NDArray[np.intp]
    asks: AnswerType


def read_question(query: str, statistics: LexicalStatistics) -> Question:
    """Analyse a question."""
    stream = statistics.morphemes.analyse_query(query)
    described = [form for form in stream.forms if form not in QUESTION_WORDS] or stream.forms
    forms = tuple(dict.fromkeys(described))
    tags = dict(zip(stream.forms, stream.tags, strict=True))
    places = {form: place for place, form in enumerate(forms)}
    sequence = [places[form] for form in described]
    pairs = list(dict.fromkeys(pairwise(sequence)))
    return Question(
        forms,
        tuple(tags[form] for form in forms),
        stable_ids(forms, statistics),
        statistics.idf(MORPHEMES, forms).astype(np.float64),
        np.array(pairs, np.intp).reshape(-1, 2),
        answer_type(stream),
    )
