"""Citations such as [1] in an LLM's answer, checked while it streams, and extracts in place of an LLM that fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import NodeWithScore

from llama_index_ko_rerank.answer.extractive import quote
from llama_index_ko_rerank.answer.prompts import LLM_BROKE_OFF, LLM_FAILED, not_found_text
from llama_index_ko_rerank.answer.synthesis import distinct_titles

logger = logging.getLogger(__name__)

_OPEN, _CLOSE = r"\[［【", r"\]］】"
_NUMBER = r"(?:자료\s?)?\d{1,3}"
_CITATION = re.compile(
    rf"(?P<before>[ \t]*)[{_OPEN}]\s?(?P<numbers>{_NUMBER}(?:\s?[,、·;~–-]\s?{_NUMBER})*)\s?[{_CLOSE}]"
)
_RANGE = re.compile(r"(\d+)\s?[~–-]\s?(?:자료\s?)?(\d+)")
_UNFINISHED = re.compile(rf"[ \t]+\Z|[ \t]*[{_OPEN}][\d\s,、·;~–자료-]{{0,60}}\Z")
_LONGEST_RANGE = 20
_BLANK = "the LLM's answer was blank"


class CitationGuard:
    """Streaming guard around an LLM's answer: checks its citations, and answers with extracts where the LLM fails.

    Args:
        question: The question.
        sources: The sources that the LLM was given, in the order of their numbers.
        metadata: The response's metadata, which are updated. ``citations`` becomes ``{"cited": [...], "removed":
            [...]}``; after a failure ``llm_failure`` has its reason, ``extracts`` are those of `ExtractiveSynthesizer`,
            and ``kind`` becomes ``extracts`` where nothing of the LLM's own was shown.
    """

    def __init__(self, question: str, sources: Sequence[NodeWithScore], metadata: dict[str, Any]) -> None:
        self._question = question
        self._sources = sources
        self._metadata = metadata
        self._check = CitationCheck(len(sources))
        self._shown = False

    def feed(self, piece: str) -> str:
        """Take a piece of the answer and return the text to show."""
        storable = piece.encode("utf-8", "replace").decode("utf-8")  # JSON may bring lone surrogates
        return self._track(self._check.feed(storable))

    def finish(self) -> str:
        """Return the rest of an answer that came to its end; extracts where it was blank."""
        rest = self._track(self._check.finish())
        if not self._shown:
            return rest + self.fail(_BLANK)
        self._report()
        return rest

    def fail(self, error: Exception | str) -> str:
        """Return what follows where the LLM failed: that it did, and extracts from the same sources."""
        rest = self._track(self._check.finish())
        self._report()
        self._metadata["llm_failure"] = str(error)
        logger.warning("an answer was made of extracts: %s", error)
        quotation = quote(self._question, self._sources)
        self._metadata["extracts"] = quotation.records
        if not self._shown:
            self._metadata["kind"] = "extracts" if quotation.records else "not_found"
        lead = f"{rest}\n\n{LLM_BROKE_OFF}" if self._shown else LLM_FAILED
        body = "".join(quotation.lines) or not_found_text(distinct_titles(self._sources, limit=len(self._sources)))
        return f"{lead}\n\n{body}"

    def _track(self, text: str) -> str:
        self._shown = self._shown or bool(text.strip())
        return text

    def _report(self) -> None:
        self._metadata["citations"] = {"cited": self._check.cited, "removed": self._check.removed}
        if self._check.removed:
            logger.warning(
                "citations of %s were taken out of an answer: it had %d sources",
                ", ".join(f"[{number}]" for number in self._check.removed),
                len(self._sources),
            )


class CitationCheck:
    """Streaming filter that keeps citations of unknown sources out of an answer.

    A citation is a number of up to three digits in brackets, alone or in a list or range: ``[2]``, ``[1, 3]``,
    ``[1-3]``, ``【2】``, ``[자료 2]``. It leaves as ``[2]`` or ``[1][3]``, each number once. A number that no source
    has is **removed**, with the brackets where none is left, and is reported in `removed`. Any other text in brackets
    stays as it is. The end of a piece is kept back while it could be the beginning of a citation.

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
        self._pending = ""
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
        text = self._pending + piece
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._pending = text[end:]
        return _CITATION.sub(self._checked, text[:end])

    def finish(self) -> str:
        """Return what was kept back at the end of the answer."""
        rest, self._pending = self._pending, ""
        return _CITATION.sub(self._checked, rest)

    def _checked(self, found: re.Match[str]) -> str:
        numbers = _numbers(found["numbers"])
        known = [number for number in numbers if 1 <= number <= self._sources]
        self._cited.update(known)
        self._removed.update(set(numbers).difference(known))
        return found["before"] + "".join(f"[{number}]" for number in known) if known else ""


def without_citations(text: str) -> str:
    """Remove every citation from a text.

    >>> without_citations("서울이다 [1][2].")
    '서울이다.'
    """
    return _CITATION.sub("", text)


def _numbers(listed: str) -> list[int]:
    """Read the numbers of one citation, each once; a range stands for all numbers in it where it is short."""

    def expand(found: re.Match[str]) -> str:
        first, last = int(found[1]), int(found[2])
        inside = range(first, last + 1) if 0 <= last - first <= _LONGEST_RANGE else (first, last)
        return ",".join(map(str, inside))

    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", _RANGE.sub(expand, listed))))
