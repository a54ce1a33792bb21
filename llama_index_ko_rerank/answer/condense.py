"""Standalone questions: a question of a conversation, rewritten so that it can be searched for by itself."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate

from llama_index_ko_rerank.answer.citation_guard import without_citations
from llama_index_ko_rerank.answer.llm import llm_failures
from llama_index_ko_rerank.answer.prompts import fenced_conversation, korean_condense_prompt
from llama_index_ko_rerank.errors import LlmUnavailable
from llama_index_ko_rerank.text.normalize import normalize
from llama_index_ko_rerank.text.tokenizers import QUESTION_WORDS, MorphemeTokenizer

logger = logging.getLogger(__name__)

_SPEAKERS = {MessageRole.USER: "질문", MessageRole.ASSISTANT: "답"}
_LONGEST_TURN = 500
_LONGEST_FOLLOW_UP = 500
_LONGEST_ADDITION = 200
_NAMES = frozenset(["NNG", "NNP", "SL", "SH"])
_TOPICLESS = frozenset(
    ["이유", "뜻", "의미", "방법", "이름", "설명", "예", "예시", "정리", "요약", "말", "이야기", "얘기", "자세", "며칠"]
)
"""Nouns that ask something of a topic and name none: 이유는?, 예를 들어 줘."""

_POINTING = re.compile(
    r"(?:그것|그거|그건|그게|그걸|이것|이거|이건|이게|이걸|저것|저거|그곳|이곳|거기|여기|그때|이때|그녀|그들|그분|그중|그렇)"
    r"|(?:그|이|저|그럼|그러면|그리고|그런데|근데|그래서|또)(?=[\s,?!.]|$)"
)
"""Words at the beginning of a question that point back."""

_LOOKED_BACK = 5


@dataclass(frozen=True, slots=True)
class StandaloneQuestion:
    """Question that needs no conversation.

    Attributes:
        text: The question.
        llm_error: Why the LLM did not write it, where it failed; the rule of `rewrite_by_rule` did.
    """

    text: str
    llm_error: LlmUnavailable | None = None


class Condenser:
    """Rewriter of questions: by an LLM where there is one, otherwise by `rewrite_by_rule`.

    What an LLM writes counts only where it is one line, not blank, and not much longer than the question; otherwise
    the rule is used, and that is logged. A question of over 500 characters stands for itself.

    Args:
        llm: The LLM to ask.
    """

    def __init__(self, llm: LLM | None = None) -> None:
        self._llm = llm
        self.prompt: BasePromptTemplate = korean_condense_prompt()

    def condense(self, question: str, history: Sequence[ChatMessage]) -> StandaloneQuestion:
        """Make a question stand alone; `history` is the messages before it."""
        if self._llm is None or not _needs_llm(question, history):
            return StandaloneQuestion(_by_rule(question, history))
        try:
            written = self._llm.predict(self.prompt, **_variables(question, history))
        except llm_failures() as error:
            return _failed(question, history, error)
        return StandaloneQuestion(_usable(written, question) or _by_rule(question, history))

    async def acondense(self, question: str, history: Sequence[ChatMessage]) -> StandaloneQuestion:
        """Make a question stand alone without blocking the event loop; as `condense` otherwise."""
        if self._llm is None or not _needs_llm(question, history):
            return StandaloneQuestion(await asyncio.to_thread(_by_rule, question, history))
        try:
            written = await self._llm.apredict(self.prompt, **_variables(question, history))
        except llm_failures() as error:
            return await asyncio.to_thread(_failed, question, history, error)
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
    return rewrite_by_rule(question, [turn for turn in earlier if len(turn) <= _LONGEST_FOLLOW_UP])


def _failed(question: str, history: Sequence[ChatMessage], error: Exception) -> StandaloneQuestion:
    logger.warning("a question was completed without the LLM: %s", error)
    known = error if isinstance(error, LlmUnavailable) else LlmUnavailable(str(error) or type(error).__name__)
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


def rewrite_by_rule(question: str, earlier: Sequence[str] = ()) -> str:
    """Add what a question is about where it leaves that to the questions before it.

    A question that begins with a word that points back (그건, 거기, 그럼), or that has no noun of its own, gets the
    nouns of the question before it put in front, those that it does not have itself. That question is completed first,
    from the one before it, up to five questions back. Any other question, and one with nothing to add, is returned as
    it is. The rule is made for search by words, where a few nouns too many do little harm; an LLM knows better, where
    there is one.

    Args:
        question: The question.
        earlier: The questions before it, unchanged, the latest last.

    Raises:
        InvalidText: A question holds lone surrogates.

    >>> rewrite_by_rule("그럼 어디에 있나요?", ["경복궁은 언제 지었나요?"])
    '경복궁 그럼 어디에 있나요?'
    >>> rewrite_by_rule("남대문은 어디에 있나요?", ["경복궁은 언제 지었나요?"])
    '남대문은 어디에 있나요?'
    """
    complete = ""
    for turn in [*earlier[-_LOOKED_BACK:], question]:
        current = normalize(turn)
        own = _nouns(current)
        if complete and (not own or _POINTING.match(current.lstrip())):
            topic = [noun for noun in _nouns(complete) if noun not in own]
            current = " ".join([*topic, current.strip()])
        complete = current
    return complete


def _nouns(question: str) -> list[str]:
    stream = MorphemeTokenizer().analyse_query(question)
    nouns = [form for form, tag in zip(stream.forms, stream.tags, strict=True) if tag in _NAMES]
    return [noun for noun in dict.fromkeys(nouns) if noun not in _TOPICLESS and noun not in QUESTION_WORDS]
