"""Extractive answers: the sentences of the sources that share most words with the question, copied as they stand."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.llms import MockLLM
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import MetadataMode, NodeWithScore
from numpy.typing import NDArray

from llama_index_ko_rerank.answer.prompts import EXTRACTS_LEAD, SOURCES_LEAD
from llama_index_ko_rerank.answer.synthesis import (
    Draft,
    SourcedSynthesizer,
    not_found,
    source_title,
    sources_metadata,
)
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.normalize import check_query, normalize
from llama_index_ko_rerank.text.sentences import Sentence, split_sentences
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

SentenceScorer = Callable[[str, list[str]], Sequence[float] | NDArray[Any]]
"""Takes a question and sentences and returns one number a sentence, larger is better."""

NEIGHBOUR_WEIGHT = 0.3
"""Weight of the better neighbouring sentence: an answer often stands beside the sentence that repeats the question. On
the `tune` half of KorQuAD (3,316 questions, 3 sentences from 5 passages) the answer is in the extract for .949 of the
questions with 0, .955 with 0.2, .958 with 0.3 and .956 with 0.4."""

RANK_PENALTY = 0.1
"""Penalty of a sentence for each rank of its passage, where a sentence with all words of the question has 1. On the
same questions: .936 with 0, .951 with 0.05, .958 with 0.1, .957 with 0.15, .942 with 0.5."""

_CACHED_PASSAGES = 512
_LONGEST_CACHED = 4000


@dataclass(frozen=True, slots=True)
class Extract:
    """One sentence of one source.

    Attributes:
        text: The sentence as it stands in the source.
        source: Number of the source, from 1.
        start: Offset of its first character in the source's text.
        end: Offset after its last character, so that ``source_text[start:end] == text``.
        score: What it was chosen by; larger is better, on the scorer's own scale.
    """

    text: str
    source: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SplitPassage:
    """Sentences of a passage and their words; the two tuples have one length.

    Attributes:
        sentences: The sentences, with their offsets.
        words: The content morphemes of each, each once.
    """

    sentences: tuple[Sentence, ...]
    words: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Quotation:
    """Extracts as they are shown.

    Attributes:
        lines: The lines of the answer, with the titles of the sources that it cites.
        records: The extracts in JSON types; none where no sentence was found.
    """

    lines: list[str]
    records: list[dict[str, Any]]


class ExtractiveSynthesizer(SourcedSynthesizer):
    """Response synthesizer without an LLM: sentences of the sources, each with the number of its source.

    The metadata of a response have ``extracts``: the ``source`` of each (its number), the ``start`` and ``end`` of the
    sentence in the text of that source's node, and its ``score``. LlamaIndex wants an LLM in every synthesizer; this
    one holds LlamaIndex's ``MockLLM`` and never calls it.

    Args:
        sentences: How many sentences an answer has at most, 1 or more.
        scorer: Scores the sentences. Defaults to `overlap_scores`; see `extract_sentences`.
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
        _check_sentence_count(sentences)
        self.sentences = sentences
        self.scorer = scorer
        super().__init__(llm=MockLLM(), streaming=streaming, callback_manager=callback_manager)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if prompts:
            raise InvalidSetting("extracts are made without an LLM, so there is no prompt to replace")

    def _draft(self, question: str, nodes: Sequence[NodeWithScore], **_response_kwargs: Any) -> Draft:
        quotation = quote(question, nodes, sentences=self.sentences, scorer=self.scorer)
        if not quotation.records:
            return not_found(nodes)
        return Draft(quotation.lines, list(nodes), sources_metadata("extracts", nodes, extracts=quotation.records))

    async def _adraft(self, question: str, nodes: Sequence[NodeWithScore], **response_kwargs: Any) -> Draft:
        return await asyncio.to_thread(self._draft, question, nodes, **response_kwargs)


def quote(
    question: str, nodes: Sequence[NodeWithScore], *, sentences: int = 3, scorer: SentenceScorer | None = None
) -> Quotation:
    """Quote the sentences of nodes that answer a question best; see `extract_sentences`."""
    texts = [found.node.get_content(metadata_mode=MetadataMode.NONE) for found in nodes]
    extracts = extract_sentences(question, texts, sentences=sentences, scorer=scorer)
    if not extracts:
        return Quotation([], [])
    lines = [
        EXTRACTS_LEAD,
        "",
        *(f"- {extract.text} [{extract.source}]" for extract in extracts),
        "",
        SOURCES_LEAD,
        *(f"[{n}] {source_title(nodes[n - 1].node)}" for n in dict.fromkeys(extract.source for extract in extracts)),
    ]
    records = [{key: value for key, value in asdict(extract).items() if key != "text"} for extract in extracts]
    return Quotation([*(f"{line}\n" for line in lines[:-1]), lines[-1]], records)


def extract_sentences(
    question: str, texts: Sequence[str], *, sentences: int = 3, scorer: SentenceScorer | None = None
) -> list[Extract]:
    """Choose the sentences that answer a question best.

    Equal scores keep the reading order, and a sentence that stands in several texts counts once, at its best score.

    Args:
        question: The question.
        texts: The sources, the best first.
        sentences: How many are chosen at most, 1 or more.
        scorer: Scores the sentences of all texts in one call. Defaults to `overlap_scores` over content morphemes.

    Returns:
        The chosen sentences in reading order: by the number of their source, then by their offset in it. Fewer than
        requested where the texts have fewer, none where they are all blank.

    Raises:
        BlankQuery: The question is blank.
        InvalidText: A text or the question holds lone surrogates.
        InvalidSetting: `sentences` is under 1, or the scorer returns NaN or the wrong number of scores.
    """
    question = check_query(question)
    _check_sentence_count(sentences)
    passages = [split_passage(text) for text in texts]
    if not any(passage.sentences for passage in passages):
        return []
    scores = iter(_scorer_scores(scorer, question, passages) if scorer else _word_scores(question, passages))
    candidates = [
        Extract(sentence.text, number, sentence.start, sentence.end, next(scores))
        for number, passage in enumerate(passages, start=1)
        for sentence in passage.sentences
    ]
    distinct: dict[str, Extract] = {}
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        distinct.setdefault(normalize(candidate.text), candidate)
    chosen = list(distinct.values())[:sentences]
    return sorted(chosen, key=lambda extract: (extract.source, extract.start))


def split_passage(text: str) -> SplitPassage:
    """Split a passage into sentences and their words, which Kiwi does at 1 ms for about 60 characters.

    The last 512 passages of up to 4,000 characters are cached: questions about one collection meet the same passages
    again. `clear_passage_cache` empties the cache.

    Raises:
        InvalidText: The text holds lone surrogates.
    """
    return _cached_split(text) if len(text) <= _LONGEST_CACHED else _split(text)


def clear_passage_cache() -> None:
    """Empty the cache of `split_passage`, as a benchmark must."""
    _cached_split.cache_clear()


def overlap_scores(question: Sequence[str], passages: Sequence[Sequence[Collection[str]]]) -> list[list[float]]:
    """Score sentences by their share of the question's words, their neighbours' share, and the rank of their passage.

    A word weighs ``log(1 + (N - n + 0.5) / (n + 0.5))``, BM25's inverse document frequency over the N sentences at
    hand, n of which have it. A sentence's share is the weight of the question's words that it has, divided by that of
    all of them, 0-1; its score is ``share + NEIGHBOUR_WEIGHT * max(share before, share after) - RANK_PENALTY * rank``,
    with the rank of its passage counted from 0.

    Args:
        question: The words of the question; repeats count once.
        passages: The words of each sentence of each passage, the best passage first.

    Returns:
        One score a sentence, in the shape of `passages`; larger is better.

    >>> overlap_scores(["수도"], [[["인구"], ["수도"]], [["수도"]]])
    [[0.3, 1.0], [0.9]]
    """
    words = dict.fromkeys(question)
    found = [[words.keys() & set(sentence) for sentence in passage] for passage in passages]
    sentences_with = Counter(word for passage in found for sentence in passage for word in sentence)
    total = sum(len(passage) for passage in passages)
    weights = {word: math.log1p((total - sentences_with[word] + 0.5) / (sentences_with[word] + 0.5)) for word in words}
    whole = math.fsum(weights.values()) or 1.0
    shares = [[math.fsum(weights[word] for word in sentence) / whole for sentence in passage] for passage in found]
    return [
        [
            share + NEIGHBOUR_WEIGHT * _best_neighbour(passage, index) - RANK_PENALTY * rank
            for index, share in enumerate(passage)
        ]
        for rank, passage in enumerate(shares)
    ]


def _best_neighbour(shares: Sequence[float], index: int) -> float:
    return max([*shares[max(index - 1, 0) : index], *shares[index + 1 : index + 2]], default=0.0)


def _check_sentence_count(sentences: int) -> None:
    if sentences < 1:
        raise InvalidSetting(f"sentences must be 1 or more, not {sentences}")


def _split(text: str) -> SplitPassage:
    sentences = tuple(split_sentences(text))
    words = MorphemeTokenizer().tokens(sentence.text for sentence in sentences)
    return SplitPassage(sentences, tuple(map(frozenset, words)))


_cached_split = lru_cache(_CACHED_PASSAGES)(_split)


def _word_scores(question: str, passages: Sequence[SplitPassage]) -> list[float]:
    words = MorphemeTokenizer().query_tokens(question)
    by_passage = overlap_scores(words, [passage.words for passage in passages])
    return [score for passage in by_passage for score in passage]


def _scorer_scores(scorer: SentenceScorer, question: str, passages: Sequence[SplitPassage]) -> list[float]:
    sentences = [sentence.text for passage in passages for sentence in passage.sentences]
    scores = [float(score) for score in scorer(question, sentences)]
    if len(scores) != len(sentences):
        raise InvalidSetting(f"the scorer returned {len(scores)} scores for {len(sentences)} sentences")
    if any(math.isnan(score) for score in scores):
        raise InvalidSetting("the scorer returned NaN for a sentence")
    return scores
