"""An LLM's answer on its way to the reader: citations checked, and extracts in its place where it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import NodeWithScore

from llama_index_ko_rerank.answer.citations import CitationCheck
from llama_index_ko_rerank.answer.extractive import quote
from llama_index_ko_rerank.answer.prompts import LLM_BROKE_OFF, LLM_FAILED, not_found_text
from llama_index_ko_rerank.answer.sources import distinct_titles

logger = logging.getLogger(__name__)

_BLANK = "the LLM's answer was blank"


class CitationGuard:
    """Turns the pieces of an LLM's answer into what is shown, and notes in the metadata what was found on the way.

    Args:
        question: What was asked.
        sources: The sources that the LLM was given, in the order of their numbers.
        metadata: Those of the response. ``citations`` becomes ``{"cited": [...], "removed": [...]}``; ``llm_failure``
            says what went wrong, None where nothing did; with it come ``extracts``, as of `ExtractiveSynthesizer`, and
            ``kind`` becomes ``extracts`` where nothing of the LLM's own was shown.
    """

    def __init__(self, question: str, sources: Sequence[NodeWithScore], metadata: dict[str, Any]) -> None:
        self._question = question
        self._sources = sources
        self._metadata = metadata
        self._check = CitationCheck(len(sources))
        self._shown = False

    def feed(self, piece: str) -> str:
        """Take a piece of the answer and return what can be shown of it."""
        storable = piece.encode("utf-8", "replace").decode("utf-8")  # JSON may bring lone surrogates
        return self._noted(self._check.feed(storable))

    def finish(self) -> str:
        """Return the rest of an answer that came to its end; extracts where it was blank."""
        rest = self._noted(self._check.finish())
        if not self._shown:
            return rest + self.fail(_BLANK)
        self._report()
        return rest

    def fail(self, problem: Exception | str) -> str:
        """Return what follows where the LLM failed: that it did, and extracts from the same sources."""
        rest = self._noted(self._check.finish())
        self._report()
        self._metadata["llm_failure"] = str(problem)
        logger.warning("an answer was made of extracts: %s", problem)
        quoted = quote(self._question, self._sources)
        self._metadata["extracts"] = quoted.records
        if not self._shown:
            self._metadata["kind"] = "extracts" if quoted.records else "not_found"
        lead = f"{rest}\n\n{LLM_BROKE_OFF}" if self._shown else LLM_FAILED
        body = "".join(quoted.lines) or not_found_text(distinct_titles(self._sources, len(self._sources)))
        return f"{lead}\n\n{body}"

    def _noted(self, text: str) -> str:
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
