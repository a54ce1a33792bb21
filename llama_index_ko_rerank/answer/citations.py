"""Citations such as [1] in an LLM's answer, checked against the sources that it was given."""

from __future__ import annotations

import re

_OPEN, _CLOSE = r"\[［【", r"\]］】"
_NUMBER = r"(?:자료\s?)?\d{1,3}"
_CITATION = re.compile(
    rf"(?P<before>[ \t]*)[{_OPEN}]\s?(?P<numbers>{_NUMBER}(?:\s?[,、·;~–-]\s?{_NUMBER})*)\s?[{_CLOSE}]"
)
_RANGE = re.compile(r"(\d+)\s?[~–-]\s?(?:자료\s?)?(\d+)")
_UNFINISHED = re.compile(rf"[ \t]+\Z|[ \t]*[{_OPEN}][\d\s,、·;~–자료-]{{0,60}}\Z")
_LONGEST_RANGE = 20


class CitationCheck:
    """Lets an answer through piece by piece, and keeps citations of sources that were not given out of it.

    A citation is a number of up to three digits in brackets, alone or in a list or range: ``[2]``, ``[1, 3]``,
    ``[1-3]``, ``【2】``, ``[자료 2]``. It leaves as ``[2]`` or ``[1][3]``, each number once. A number that no source
    has is **removed**, with the brackets where none is left, and is reported in `removed`. Any other text in brackets
    stays as it is. The end of a piece is held back while it could be the beginning of a citation.

    Args:
        sources: How many sources were given; they are numbered from 1.

    >>> check = CitationCheck(2)
    >>> check.feed("수도는 서울이다 [1, ") + check.feed("7]. 인구는 천만이다 [9].") + check.finish()
    '수도는 서울이다 [1]. 인구는 천만이다.'
    >>> check.cited, check.removed
    ([1], [7, 9])
    """

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._held = ""
        self._cited: set[int] = set()
        self._removed: set[int] = set()

    @property
    def cited(self) -> list[int]:
        """The sources that were cited so far, in order."""
        return sorted(self._cited)

    @property
    def removed(self) -> list[int]:
        """The numbers that were cited so far and are no source, in order."""
        return sorted(self._removed)

    def feed(self, piece: str) -> str:
        """Take the next piece of the answer and return what can be shown of it."""
        text = self._held + piece
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return _CITATION.sub(self._checked, text[:end])

    def finish(self) -> str:
        """Return what was held back at the end of the answer."""
        rest, self._held = self._held, ""
        return _CITATION.sub(self._checked, rest)

    def _checked(self, found: re.Match[str]) -> str:
        numbers = _numbers(found["numbers"])
        given = [number for number in numbers if 1 <= number <= self._sources]
        self._cited.update(given)
        self._removed.update(set(numbers).difference(given))
        return found["before"] + "".join(f"[{number}]" for number in given) if given else ""


def without_citations(text: str) -> str:
    """Take every citation out of a text.

    >>> without_citations("서울이다 [1][2].")
    '서울이다.'
    """
    return _CITATION.sub("", text)


def _numbers(listed: str) -> list[int]:
    """Read the numbers of one citation, each once; a range stands for all numbers in it where it is short."""

    def spelled_out(found: re.Match[str]) -> str:
        first, last = int(found[1]), int(found[2])
        inside = range(first, last + 1) if 0 <= last - first <= _LONGEST_RANGE else (first, last)
        return ",".join(map(str, inside))

    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", _RANGE.sub(spelled_out, listed))))
