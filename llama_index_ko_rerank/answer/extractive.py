"""An answer without an LLM: the best sentences of the best passages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.llms import MockLLM
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import MetadataMode, NodeWithScore

from llama_index_ko_rerank.answer.extracts import Extract, SentenceScorer, extract_sentences
from llama_index_ko_rerank.answer.prompts import EXTRACTS_LEAD, SOURCES_LEAD
from llama_index_ko_rerank.answer.sources import source_title
from llama_index_ko_rerank.answer.synthesis import Draft, SourcedSynthesizer, not_found, sources_metadata
from llama_index_ko_rerank.errors import InvalidSetting


class ExtractiveSynthesizer(SourcedSynthesizer):
    """Answers with sentences of the sources as they stand, each with the number of its source, and says so.

    The metadata of a response have ``extracts``: the ``source`` of each (its number), the ``start`` and ``end`` of the
    sentence in the text of that source's node, and its ``score``. LlamaIndex wants an LLM in every synthesizer; this
    one holds LlamaIndex's stand-in and asks nothing of it.

    Args:
        sentences: How many sentences an answer has at most, 1 or more.
        scorer: Scores the sentences in place of `overlap_scores`; see `extract_sentences`.
        streaming: Whether responses stream, a line at a time.
        callback_manager: LlamaIndex's callbacks.

    Raises:
        InvalidSetting: `sentences` is under 1.
    """

    def __init__(
        self,
        sentences: int = 3,
        scorer: SentenceScorer | None = None,
        *,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        if sentences < 1:
            raise InvalidSetting(f"sentences must be 1 or more, not {sentences}")
        self.sentences = sentences
        self.scorer = scorer
        super().__init__(llm=MockLLM(), streaming=streaming, callback_manager=callback_manager)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if prompts:
            raise InvalidSetting("extracts are made without an LLM, so there is no prompt to replace")

    def _draft(self, question: str, nodes: Sequence[NodeWithScore], **_response_kwargs: Any) -> Draft:
        quoted = quote(question, nodes, sentences=self.sentences, scorer=self.scorer)
        if not quoted.records:
            return not_found(nodes)
        return Draft(quoted.lines, list(nodes), sources_metadata("extracts", nodes, extracts=quoted.records))

    async def _adraft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft:
        return await asyncio.to_thread(self._draft, question, nodes, **response_kwargs)


@dataclass(frozen=True, slots=True)
class Quotation:
    """Sentences of sources as they are shown.

    Attributes:
        lines: The lines of the answer, which say that they are extracts and where they are from.
        records: What the metadata say of each extract, in JSON types; none where no sentence was found.
    """

    lines: list[str]
    records: list[dict[str, Any]]


def quote(
    question: str, nodes: Sequence[NodeWithScore], *, sentences: int = 3, scorer: SentenceScorer | None = None
) -> Quotation:
    """Quote the sentences of sources that answer a question best; see `extract_sentences`."""
    texts = [found.node.get_content(metadata_mode=MetadataMode.NONE) for found in nodes]
    extracts = extract_sentences(question, texts, sentences=sentences, scorer=scorer)
    records: list[dict[str, Any]] = [
        {"source": extract.source, "start": extract.start, "end": extract.end, "score": extract.score}
        for extract in extracts
    ]
    return Quotation(_lines(extracts, nodes) if extracts else [], records)


def _lines(extracts: Sequence[Extract], nodes: Sequence[NodeWithScore]) -> list[str]:
    cited = dict.fromkeys(extract.source for extract in extracts)
    lines = [
        EXTRACTS_LEAD,
        "",
        *(f"- {extract.text} [{extract.source}]" for extract in extracts),
        "",
        SOURCES_LEAD,
        *(f"[{number}] {source_title(nodes[number - 1].node)}" for number in cited),
    ]
    return [*(f"{line}\n" for line in lines[:-1]), lines[-1]]
