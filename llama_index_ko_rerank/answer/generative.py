"""An answer by an LLM from numbered sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.utils import get_tokenizer

from llama_index_ko_rerank.answer.context_window import FittingSources, fit_sources
from llama_index_ko_rerank.answer.prompts import fenced_sources, korean_answer_prompt
from llama_index_ko_rerank.answer.synthesis import (
    AsyncTextStream,
    Draft,
    SourcedSynthesizer,
    TextStream,
    sources_metadata,
)
from llama_index_ko_rerank.errors import UnsuitableModel

_PROMPT_NAME = "text_qa_template"
_MESSAGE_MARKS = 32
"""Tokens left for what a chat server puts around the messages."""
_FENCE_MARGIN = 16
"""Tokens by which a fence may be longer than the one that is counted, since its number and its key differ."""


class NumberedSourcesSynthesizer(SourcedSynthesizer):
    """Asks an LLM once, with all sources numbered in one Korean prompt.

    Nothing is compacted or refined, so the numbers stay true. What the LLM cannot read at once is left out, whole
    sources from the end, and logged; the metadata of the response say how many (``sources_left_out``), and whether the
    only one left was cut (``source_cut``). Tokens are counted by LlamaIndex's ``Settings.tokenizer``. The prompt may be
    replaced by ``update_prompts({"text_qa_template": ...})``; the fences around the sources stay.

    Args:
        llm: The LLM to ask.
        streaming: Whether responses stream.
        callback_manager: LlamaIndex's callbacks; given to the LLM too.
    """

    def __init__(self, llm: LLM, *, streaming: bool = False, callback_manager: CallbackManager | None = None) -> None:
        super().__init__(llm=llm, streaming=streaming, callback_manager=callback_manager)
        self._prompt: BasePromptTemplate = korean_answer_prompt()

    def _get_prompts(self) -> PromptDictType:
        return {_PROMPT_NAME: self._prompt}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self._prompt = prompts.get(_PROMPT_NAME, self._prompt)

    def _draft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft:
        fitting = self._fitting(question, nodes)
        ask = self._llm.stream if self._streaming else self._llm.predict
        return _answered(ask(self._prompt, **_variables(question, fitting), **response_kwargs), nodes, fitting)

    async def _adraft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft:
        fitting = self._fitting(question, nodes)
        ask = self._llm.astream if self._streaming else self._llm.apredict
        return _answered(await ask(self._prompt, **_variables(question, fitting), **response_kwargs), nodes, fitting)

    def _fitting(self, question: str, nodes: Sequence[NodeWithScore]) -> FittingSources:
        texts = [found.node.get_content(metadata_mode=MetadataMode.LLM) for found in nodes]
        no_sources = fenced_sources([], question)
        fence = _token_count(fenced_sources([""], question)) - _token_count(no_sources)
        frame = self._prompt.format(llm=self._llm, context_str=no_sources, query_str=question)
        limits = self._llm.metadata
        answer = limits.num_output if limits.num_output > 0 else DEFAULT_NUM_OUTPUTS
        taken = _token_count(frame) + _token_count(self._llm.system_prompt or "") + _MESSAGE_MARKS
        left = limits.context_window - answer - taken
        if left <= 0:
            raise UnsuitableModel(
                f"the LLM reads {limits.context_window} tokens and keeps {answer} of them for its answer; the question "
                f"and the instructions take {taken}, so there is no room for a source; ask a shorter question, or use "
                "an LLM with a longer context"
            )
        return fit_sources(texts, max_tokens=left, tokens_around=fence + _FENCE_MARGIN, count_tokens=_token_count)


def _variables(question: str, fitting: FittingSources) -> dict[str, str]:
    return {"context_str": fenced_sources(fitting.texts, question), "query_str": question}


def _answered(
    answer: str | TextStream | AsyncTextStream, nodes: Sequence[NodeWithScore], fitting: FittingSources
) -> Draft:
    kept = list(nodes[: len(fitting.texts)])
    left_out = len(nodes) - len(kept)
    return Draft(
        answer,
        kept,
        sources_metadata("generated", kept, sources_left_out=left_out, source_cut=fitting.cut),
    )


def _token_count(text: str) -> int:
    return len(get_tokenizer()(text))
