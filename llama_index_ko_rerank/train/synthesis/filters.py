"""Filters of made questions: by their wording, by repeats, and by the rank at which a search finds their passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, TypeVar

import numpy as np

from llama_index_ko_rerank.errors import InvalidSetting

Fault = Literal["too short", "too long", "points elsewhere", "leaks its answer", "repeats itself", "not in Korean"]
SHORTEST, LONGEST = 6, 75
"""The fewest and the most characters of a question."""

_POINTS = re.compile(
    r"^(?:이|그|저|해당|본|당해|위|같은|이러한|그러한|이런|그런)\s|^(?:이것|그것|저것|이는|그는|그가|그녀|이를|그들|이들|여기|거기|우리|제가|저는|나는|나의)"
)
_HANGUL = re.compile(r"[가-힣]")


def question_fault(text: str, answer: str = "") -> Fault | None:
    """Say what is wrong with a made question; None where nothing is.

    Args:
        text: The question.
        answer: Its answer, where there is one; a question may not hold it.

    >>> question_fault("그것은 무엇을 썼나요?"), question_fault("서울의 수도는 서울인가요?", "서울")
    ('points elsewhere', 'leaks its answer')
    """
    if len(text) < SHORTEST:
        return "too short"
    if len(text) > LONGEST:
        return "too long"
    if not _HANGUL.search(text):
        return "not in Korean"
    if _POINTS.search(text):
        return "points elsewhere"
    if answer and _joined(answer) in _joined(text):
        return "leaks its answer"
    words = text.rstrip("?").split()
    if len(words) - len(set(words)) > 1 or any(a == b for a, b in pairwise(words)):
        return "repeats itself"
    return None


def _joined(text: str) -> str:
    return "".join(text.lower().split())


def question_key(text: str) -> str:
    """Bring a question to the form by which two are the same: no spaces, no punctuation, lower case."""
    return "".join(mark for mark in text.lower() if mark.isalnum())


class _Made(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def passage_id(self) -> str: ...


_Question = TypeVar("_Question", bound=_Made)


def distinct_questions(questions: Sequence[_Question]) -> list[_Question]:
    """Drop questions that two passages would answer, and repeats within one; the first of them stays."""
    passages: dict[str, set[str]] = {}
    for question in questions:
        passages.setdefault(question_key(question.text), set()).add(question.passage_id)
    first: dict[str, _Question] = {}
    for question in questions:
        first.setdefault(question_key(question.text), question)
    return [question for key, question in first.items() if len(passages[key]) == 1]


@dataclass(frozen=True, slots=True)
class SearchVerdict:
    """Which questions a search leaves, by their place, and why the others go.

    Attributes:
        kept: The questions that stay.
        not_found: Those whose passage the search does not find, or not deep enough to be of use.
        too_easy: Those found first by far, of which there were too many.
    """

    kept: tuple[int, ...]
    not_found: tuple[int, ...]
    too_easy: tuple[int, ...]


def filter_by_search(
    ranks: Sequence[int | None],
    margins: Sequence[float] | None = None,
    *,
    deepest: int = 30,
    easy_margin: float = 0.5,
    easy_share: float = 0.5,
) -> SearchVerdict:
    """Drop questions that a search cannot answer, and some of those that it answers without trying.

    A question whose passage is not among the first `deepest` is either no question on it or hopeless as training. One
    that is found first by far teaches nothing; those with the smallest margins stay until they make up `easy_share` of
    what is kept. Ties stay in the order of the questions.

    Args:
        ranks: The rank at which the search found each question's own passage, from 1; None where it did not.
        margins: By how much the first hit leads the second, as a share of the first's score (0-1), for each question;
            without it every question found first counts as easy, earlier ones staying.
        deepest: The last rank that counts as found.
        easy_margin: From this margin on, a question found first is easy.
        easy_share: The share of the kept questions that may be easy, 0-1.

    Raises:
        InvalidSetting: A rank is below 1, the lists are not of one length, or a share is outside 0-1.

    >>> filter_by_search([1, 1, 4, None], [0.9, 0.8, 0.0, 0.0], easy_share=0.5)
    SearchVerdict(kept=(1, 2), not_found=(3,), too_easy=(0,))
    """
    _check(ranks, margins, deepest, easy_margin, easy_share)
    lead = [1.0] * len(ranks) if margins is None else list(margins)
    found = [place for place, rank in enumerate(ranks) if rank is not None and rank <= deepest]
    easy = [place for place in found if ranks[place] == 1 and lead[place] >= easy_margin]
    hard = len(found) - len(easy)
    room = len(easy) if easy_share == 1 else int(np.floor(hard * easy_share / (1 - easy_share) + 1e-9))
    staying = set(sorted(easy, key=lambda place: (lead[place], place))[:room])
    dropped = set(easy) - staying
    in_found = set(found)
    return SearchVerdict(
        tuple(place for place in found if place not in dropped),
        tuple(place for place in range(len(ranks)) if place not in in_found),
        tuple(sorted(dropped)),
    )


def _check(
    ranks: Sequence[int | None], margins: Sequence[float] | None, deepest: int, easy_margin: float, easy_share: float
) -> None:
    if any(rank is not None and rank < 1 for rank in ranks):
        raise InvalidSetting("ranks count from 1, and None stands for a passage that was not found")
    if margins is not None and len(margins) != len(ranks):
        raise InvalidSetting(f"there are {len(ranks)} ranks and {len(margins)} margins; give one margin a question")
    if deepest < 1:
        raise InvalidSetting(f"deepest must be 1 or more, not {deepest}")
    for name, value in (("easy_margin", easy_margin), ("easy_share", easy_share)):
        if not 0 <= value <= 1:
            raise InvalidSetting(f"{name} must be in 0-1, not {value}")
