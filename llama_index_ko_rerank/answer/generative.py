"""Generated answers: an LLM asked with numbered sources that fit its context window."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.utils import get_tokenizer

from llama_index_ko_rerank.answer.citation_guard import CitationGuard
from llama_index_ko_rerank.answer.llm import llm_failures
from llama_index_ko_rerank.answer.prompts import fenced_sources, korean_answer_prompt, korean_refine_prompt
from llama_index_ko_rerank.answer.synthesis import (
    AsyncTextStream,
    Draft,
    SourcedSynthesizer,
    TextStream,
    sources_metadata,
)
from llama_index_ko_rerank.errors import LlmUnavailable, UnsuitableModel
from llama_index_ko_rerank.text.sentences import split_sentences

logger = logging.getLogger(__name__)

_ANSWER, _REFINE = "text_qa_template", "refine_template"
_MESSAGE_MARKS = 32
"""Tokens left for what a chat server puts around the messages."""
_FENCE_MARGIN = 16
"""Tokens by which a fence may be longer than the one that is counted, since its number and its key differ."""


MOST_PROMPTS = 3
"""How many prompts one answer may take: each is a call that the reader waits for."""


@dataclass(frozen=True, slots=True)
class SourceBatches:
    """Sources that fit the prompts.

    Attributes:
        batches: The texts of each prompt; together the first of the sources, in their order, and at least one of them.
        cut: Whether the text of the only one left had to be cut.
    """

    batches: list[list[str]]
    cut: bool = False

    @property
    def kept(self) -> int:
        """How many sources are in the batches."""
        return sum(map(len, self.batches))


@dataclass(frozen=True, slots=True)
class _Plan:
    """Prompts of one answer and their sources."""

    question: str
    batches: list[list[str]]
    sources: list[NodeWithScore]
    metadata: dict[str, Any]

    def context(self, index: int, answer_so_far: str) -> dict[str, str]:
        first_number = 1 + sum(map(len, self.batches[:index]))
        fenced = fenced_sources(
            self.batches[index], self.question, first_number=first_number, answer_so_far=answer_so_far
        )
        return {"context_str": fenced, "query_str": self.question}


class NumberedSourcesSynthesizer(SourcedSynthesizer):
    """Response synthesizer that asks an LLM in Korean with numbered, fenced sources, and checks its citations.

    All sources go into one prompt where they fit. Where they do not, the answer is refined with the rest, in three
    prompts at most; what is left then is left out, whole sources from the end, and logged. The metadata of the
    response say how many (``sources_left_out``), and whether the only one left was cut (``source_cut``). Tokens are
    counted by LlamaIndex's ``Settings.tokenizer``. The prompts may be replaced by ``update_prompts``
    (``text_qa_template`` and ``refine_template``); the fences around the sources stay.

    A citation of a source that was not given is **removed** from the answer, logged, and listed in the metadata under
    ``citations`` (see `CitationCheck`). Where the LLM fails (see `llm_failures`) or answers nothing, extracts stand in
    its place, the answer and the log say so, and the metadata have the reason under ``llm_failure``. Where the response
    streams, the metadata are complete when the stream has ended.

    Args:
        llm: The LLM to ask.
        streaming: Whether responses stream.
        callback_manager: LlamaIndex's callbacks; given to the LLM too.
    """

    def __init__(self, llm: LLM, *, streaming: bool = False, callback_manager: CallbackManager | None = None) -> None:
        super().__init__(llm=llm, streaming=streaming, callback_manager=callback_manager)
        self._prompts: dict[str, BasePromptTemplate] = {
            _ANSWER: korean_answer_prompt(),
            _REFINE: korean_refine_prompt(),
        }

    def _get_prompts(self) -> PromptDictType:
        return dict(self._prompts)

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self._prompts.update({name: prompts[name] for name in self._prompts if name in prompts})

    def _draft(
        self,
        question: str,
        nodes: Sequence[NodeWithScore],
        llm_error: LlmUnavailable | None = None,
        **response_kwargs: Any,
    ) -> Draft:
        plan = self._plan(question, nodes)
        shown = self._shown(plan, llm_error, response_kwargs)
        return Draft(shown if self._streaming else "".join(shown), plan.sources, plan.metadata)

    async def _adraft(
        self,
        question: str,
        nodes: Sequence[NodeWithScore],
        llm_error: LlmUnavailable | None = None,
        **response_kwargs: Any,
    ) -> Draft:
        plan = await asyncio.to_thread(self._plan, question, nodes)
        shown = self._ashown(plan, llm_error, response_kwargs)
        answer = shown if self._streaming else "".join([piece async for piece in shown])
        return Draft(answer, plan.sources, plan.metadata)

    def _shown(self, plan: _Plan, error: LlmUnavailable | None, options: dict[str, Any]) -> TextStream:
        guard = CitationGuard(plan.question, plan.sources, plan.metadata)
        try:
            with closing(self._pieces(plan, error, options)) as pieces:
                for piece in pieces:
                    if shown := guard.feed(piece):
                        yield shown
            if rest := guard.finish():
                yield rest
        except llm_failures() as failure:
            yield guard.fail(failure)

    async def _ashown(self, plan: _Plan, error: LlmUnavailable | None, options: dict[str, Any]) -> AsyncTextStream:
        guard = CitationGuard(plan.question, plan.sources, plan.metadata)
        try:
            async with aclosing(self._apieces(plan, error, options)) as pieces:
                async for piece in pieces:
                    if shown := guard.feed(piece):
                        yield shown
            if rest := await asyncio.to_thread(guard.finish):
                yield rest
        except llm_failures() as failure:
            yield await asyncio.to_thread(guard.fail, failure)

    def _pieces(self, plan: _Plan, error: LlmUnavailable | None, options: dict[str, Any]) -> TextStream:
        if error:
            raise error
        answer = ""
        for index in range(len(plan.batches)):
            prompt = self._prompts[_REFINE if index else _ANSWER]
            variables = {**plan.context(index, answer), **options}
            if self._streaming and index == len(plan.batches) - 1:
                yield from self._llm.stream(prompt, **variables)
                return
            answer = self._llm.predict(prompt, **variables)
        yield answer

    async def _apieces(self, plan: _Plan, error: LlmUnavailable | None, options: dict[str, Any]) -> AsyncTextStream:
        if error:
            raise error
        answer = ""
        for index in range(len(plan.batches)):
            prompt = self._prompts[_REFINE if index else _ANSWER]
            variables = {**plan.context(index, answer), **options}
            if self._streaming and index == len(plan.batches) - 1:
                async with aclosing(await self._llm.astream(prompt, **variables)) as stream:
                    async for piece in stream:
                        yield piece
                return
            answer = await self._llm.apredict(prompt, **variables)
        yield answer

    def _plan(self, question: str, nodes: Sequence[NodeWithScore]) -> _Plan:
        batches = self._batches(question, nodes)
        sources = list(nodes[: batches.kept])
        metadata = sources_metadata(
            "generated",
            sources,
            sources_left_out=len(nodes) - batches.kept,
            source_cut=batches.cut,
            citations={"cited": [], "removed": []},
            llm_failure=None,
        )
        return _Plan(question, batches.batches, sources, metadata)

    def _batches(self, question: str, nodes: Sequence[NodeWithScore]) -> SourceBatches:
        texts = [found.node.get_content(metadata_mode=MetadataMode.LLM) for found in nodes]
        no_sources = fenced_sources([], question)
        fence = _token_count(fenced_sources([""], question)) - _token_count(no_sources) + _FENCE_MARGIN
        limits = self._llm.metadata
        answer = limits.num_output if limits.num_output > 0 else DEFAULT_NUM_OUTPUTS
        around = _token_count(self._llm.system_prompt or "") + _MESSAGE_MARKS
        first, later = (
            around + _token_count(prompt.format(llm=self._llm, context_str=no_sources, query_str=question))
            for prompt in (self._prompts[_ANSWER], self._prompts[_REFINE])
        )
        left = limits.context_window - answer - first
        if left <= 0:
            raise UnsuitableModel(
                f"the LLM reads {limits.context_window} tokens and keeps {answer} of them for its answer; the question "
                f"and the instructions take {first}, so there is no room for a source; ask a shorter question, or use "
                "an LLM with a longer context"
            )
        return batch_sources(
            texts,
            max_tokens=left,
            max_tokens_later=limits.context_window - 2 * answer - later - fence,
            tokens_around=fence,
            count_tokens=_token_count,
        )


def batch_sources(
    texts: Sequence[str],
    *,
    max_tokens: int,
    max_tokens_later: int,
    tokens_around: int,
    count_tokens: Callable[[str], int],
) -> SourceBatches:
    """Divide the first sources among up to three prompts, leaving whole ones out from the end.

    A source that fits no prompt ends the batches. Where that is the first, it is cut after the last sentence that fits,
    and stands alone. What is left out or cut is logged.

    Args:
        texts: The sources, the best first.
        max_tokens: How many tokens those of the first prompt may take together.
        max_tokens_later: The same for each later prompt, which also holds the answer so far.
        tokens_around: How many tokens each takes beside its text.
        count_tokens: Counts the tokens of a text.

    Raises:
        UnsuitableModel: Not even the first sentence of the first source fits.
    """
    sizes = [count_tokens(text) + tokens_around for text in texts]
    batches: list[list[str]] = []
    start = 0
    while start < len(texts) and len(batches) < MOST_PROMPTS:
        fitting = bisect_right(list(accumulate(sizes[start:])), max_tokens_later if batches else max_tokens)
        if not fitting:
            break
        batches.append(list(texts[start : start + fitting]))
        start += fitting
    left_out = len(texts) - max(start, 1)
    if left_out > 0:
        logger.warning(
            "%d of %d sources were left out: the LLM has %d tokens for sources in the first prompt, %d in a later one",
            left_out,
            len(texts),
            max_tokens,
            max_tokens_later,
        )
    if batches or not texts:
        return SourceBatches(batches)
    return SourceBatches([[_cut(texts[0], max_tokens - tokens_around, count_tokens)]], cut=True)


def _cut(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    ends = [sentence.end for sentence in split_sentences(text)]
    fitting = bisect_right(ends, max_tokens, key=lambda end: count_tokens(text[:end]))
    if not fitting:
        raise UnsuitableModel(
            f"the LLM has {max(max_tokens, 0)} tokens for the best source, and its first sentence alone takes more; "
            "ask a shorter question, split the documents into smaller nodes, or use an LLM with a longer context"
        )
    logger.warning("the best source was cut from %d characters to %d to fit the LLM", len(text), ends[fitting - 1])
    return text[: ends[fitting - 1]]


def _token_count(text: str) -> int:
    return len(get_tokenizer()(text))
