"""What kind of answer a question asks for, and how much of that kind stands near a passage's best match."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.text.tokenizers import TAG_NAMES, MorphemeStream

CUES: dict[str, tuple[str, ...]] = {
    "date": ("언제", "날짜", "연도", "년도"),
    "person": ("누구", "인물", "사람"),
    "place": ("어디", "곳", "장소", "나라"),
    "number": ("몇", "얼마"),
}
"""The morphemes that ask for each kind of answer; where several are there, the first kind counts."""

DATE_UNITS = ("년", "월", "일", "년도", "세기", "시")
"""What turns a question for a number into one for a date: 몇 년, 몇 월."""

_COUNTING = frozenset(CUES["number"])
_BEFORE, _AFTER = 12, 28
_NUMBER, _NAME = TAG_NAMES.index("SN"), TAG_NAMES.index("NNP")


@dataclass(frozen=True, slots=True)
class AnswerType:
    """What a question asks for.

    Attributes:
        kind: A key of `CUES`, or empty where no cue is there.
        unit: What is counted: the morpheme after 몇 or 얼마; empty where nothing is.
    """

    kind: str = ""
    unit: str = ""


def answer_type(question: MorphemeStream) -> AnswerType:
    """Read the cues of a question.

    >>> answer_type(MorphemeStream(["도서관", "몇", "년", "세우"], ["NNG", "MM", "NNB", "VV"], [0, 0, 0, 0]))
    AnswerType(kind='date', unit='년')
    """
    unit = ""
    for form, following in pairwise([*question.forms, ""]):
        if form in _COUNTING:
            unit = following
    if unit in DATE_UNITS:
        return AnswerType("date", unit)
    forms = set(question.forms)
    kind = next((kind for kind, cues in CUES.items() if forms.intersection(cues)), "")
    return AnswerType(kind, unit)


def evidence(
    token_ids: NDArray[np.int64],
    tags: NDArray[np.uint8],
    asked: NDArray[np.bool_],
    *,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    centres: NDArray[np.int64],
    date_units: NDArray[np.int64],
    unit: int | None,
) -> dict[str, NDArray[np.float64]]:
    """Count what could be an answer in each passage, within 12 morphemes before its best match and 28 after.

    Args:
        token_ids: The passages' morphemes end to end, shape (morphemes,).
        tags: The tag of each, as a place in `TAG_NAMES`.
        asked: Which of them the question has.
        starts: Where each passage starts, shape (passages,).
        lengths: Its number of morphemes.
        centres: Where its best match is, counted from its start.
        date_units: The ids of 년, 월 and 일.
        unit: The id of the morpheme that is counted, None where nothing is.

    Returns:
        Counts of shape (passages,): ``dates`` (numbers before a date unit), ``names`` (proper nouns that the question
        does not have), ``numbers``, ``units`` (numbers before the unit), and ``units_anywhere`` in the whole passage.
    """
    following = np.append(token_ids[1:], 0)
    last = (starts + lengths - 1)[lengths > 0]
    is_number = tags == _NUMBER
    counted = is_number.copy()
    counted[last] = False
    before_unit = counted & (following == unit) if unit is not None else np.zeros(len(tags), bool)
    first, stop = starts + np.maximum(0, centres - _BEFORE), starts + np.minimum(lengths, centres + _AFTER)
    return {
        "dates": _between(counted & (following[:, None] == date_units).any(1), first, stop),
        "names": _between((tags == _NAME) & ~asked, first, stop),
        "numbers": _between(is_number, first, stop),
        "units": _between(before_unit, first, stop),
        "units_anywhere": _between(before_unit, starts, starts + lengths),
    }


def _between(mask: NDArray[np.bool_], first: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count the True values from each first place up to its stop."""
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(mask)])
    between: NDArray[np.float64] = (counts[stop] - counts[first]).astype(np.float64)
    return between
