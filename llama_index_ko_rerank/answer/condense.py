"""What a question in a conversation asks, said so that it can be searched for by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate

from llama_index_ko_rerank.answer.citations import without_citations
from llama_index_ko_rerank.answer.follow_up import complete_question
from llama_index_ko_rerank.answer.llm import llm_failures
from llama_index_ko_rerank.answer.prompts import fenced_conversation, korean_condense_prompt
from llama_index_ko_rerank.errors import LlmUnavailable
from llama_index_ko_rerank.text.normalize import normalize

logger = logging.getLogger(__name__)

_SPEAKERS = {MessageRole.USER: "질문", MessageRole.ASSISTANT: "답"}
_LONGEST_TURN = 500
_LONGEST_FOLLOW_UP = 500
_LONGEST_ADDITION = 200


@dataclass(frozen=True, slots=True)
class StandaloneQuestion:
    """A question that needs no conversation.

    Attributes:
        text: The question.
        llm_problem: Why the LLM did not write it, where it was asked and failed; the rule of `complete_question` did.
    """

    text: str
    llm_problem: LlmUnavailable | None = None


class Condenser:
    """Writes standalone questions: by an LLM where there is one, otherwise by `complete_question`.

    What an LLM writes counts only where it is one line, not blank, and not much longer than the question; otherwise
    the rule is used, and that is logged. A question of over 500 characters stands for itself.

    Args:
        llm: The LLM to ask.
    """

    def __init__(self, llm: LLM | None = None) -> None:
        self._llm = llm
        self.prompt: BasePromptTemplate = korean_condense_prompt()

    def condense(self, question: str, history: Sequence[ChatMessage]) -> StandaloneQuestion:
        """Make a question stand alone; `history` is what was said before it."""
        if self._llm is None or not _needs_llm(question, history):
            return StandaloneQuestion(_by_rule(question, history))
        try:
            written = self._llm.predict(self.prompt, **_variables(question, history))
        except llm_failures() as problem:
            return _failed(question, history, problem)
        return StandaloneQuestion(_usable(written, question) or _by_rule(question, history))

    async def acondense(self, question: str, history: Sequence[ChatMessage]) -> StandaloneQuestion:
        """Make a question stand alone without blocking the event loop; as `condense` otherwise."""
        if self._llm is None or not _needs_llm(question, history):
            return StandaloneQuestion(await asyncio.to_thread(_by_rule, question, history))
        try:
            written = await self._llm.apredict(self.prompt, **_variables(question, history))
        except llm_failures() as problem:
            return await asyncio.to_thread(_failed, question, history, problem)
        usable = _usable(written, question)
        if usable is None:
            usable = await asyncio.to_thread(_by_rule, question, history)
        return StandaloneQuestion(usable)


def _needs_llm(question: str, history: Sequence[ChatMessage]) -> bool:
    return bool(history) and len(question) <= _LONGEST_FOLLOW_UP


def _by_rule(question: str, history: Sequence[ChatMessage]) -> str:
    if len(question) > _LONGEST_FOLLOW_UP:
        return question
    earlier = [message.content or "" for message in history if message.role == MessageRole.USER]
    return complete_question(question, [asked for asked in earlier if len(asked) <= _LONGEST_FOLLOW_UP])


def _failed(question: str, history: Sequence[ChatMessage], problem: Exception) -> StandaloneQuestion:
    logger.warning("a question was completed without the LLM: %s", problem)
    known = problem if isinstance(problem, LlmUnavailable) else LlmUnavailable(str(problem) or type(problem).__name__)
    return StandaloneQuestion(_by_rule(question, history), known)


def _variables(question: str, history: Sequence[ChatMessage]) -> dict[str, str]:
    turns = [
        (_SPEAKERS[message.role], _shortened(without_citations(message.content or "")))
        for message in history
        if message.role in _SPEAKERS
    ]
    return {"chat_history": fenced_conversation(turns, question), "question": question}


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TURN else f"{text[:_LONGEST_TURN]}…"


def _usable(written: str, question: str) -> str | None:
    """Return the question that an LLM wrote, None where it is no question that could be searched for."""
    try:
        line = without_citations(normalize(written)).strip().strip("\"'“”‘’").strip()
    except ValueError:
        line = ""
    if line and "\n" not in line and len(line) <= len(question) + _LONGEST_ADDITION:
        return line
    logger.warning("the LLM wrote no standalone question (%d characters); it was completed by rule", len(written))
    return None
