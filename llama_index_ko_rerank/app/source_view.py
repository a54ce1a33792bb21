"""What the page shows of each source: where it stood before and after reranking, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.schema import MetadataMode, NodeWithScore

from llama_index_ko_rerank.answer.synthesis import source_title
from llama_index_ko_rerank.app.highlight import Marks, find_marks
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.types import RankedNode, sources_of


@dataclass(frozen=True, slots=True)
class LegView:
    """What one leg said of a source.

    Attributes:
        name: The leg: ``lexical``, ``dense``, ``morphemes`` or ``bigrams``.
        rank: Its rank in the leg, from 1.
        score: On the leg's own scale.
        share: The score divided by the leg's best among the candidates, 0-1.
    """

    name: str
    rank: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class MatchedWords:
    """How the words of the question and of a source meet.

    Attributes:
        found: Morphemes of the question that the source has, the rarest first.
        missing: Those that it has not.
        bigrams_found: How many of the question's character bigrams it has.
        bigrams: How many there are.
    """

    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    bigrams_found: int = 0
    bigrams: int = 0


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source of an answer.

    Attributes:
        number: Its number in the answer, from 1, which is its rank after reranking.
        node_id: The id of its node.
        title: What it is called.
        text: Its text.
        rank_before: Its rank before reranking, from 1.
        retrieval_score: The score that it was found with.
        retrieval_share: That score divided by the best candidate's, 0-1.
        rerank_score: The reranker's; None where there was none.
        rerank_share: That score divided by the best candidate's, 0-1.
        legs: What each leg said of it.
        words: Which words matched.
        marks: What is marked in its text.
        window: Where the reranker read a stretch of a long text, the offsets of the best one.
    """

    number: int
    node_id: str
    title: str
    text: str
    rank_before: int
    retrieval_score: float
    retrieval_share: float
    rerank_score: float | None
    rerank_share: float
    legs: tuple[LegView, ...]
    words: MatchedWords
    marks: Marks
    window: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Outranked:
    """A candidate that would have been a source and was not, since the reranker put others before it.

    Attributes:
        title: What it is called.
        rank_before: Its rank before reranking, from 1.
        rank_after: Its rank after, from 1; None where the reranker dropped it.
    """

    title: str
    rank_before: int
    rank_after: int | None


def view_sources(
    question: str,
    candidates: Sequence[NodeWithScore],
    ordered: Sequence[NodeWithScore],
    *,
    sources: int,
    lexical_index: LexicalIndex,
    reranked: bool,
) -> list[SourceView]:
    """Describe the first candidates after reranking.

    Args:
        question: What was asked, in its normal form.
        candidates: As they were found, the best first.
        ordered: As the reranker put them; the candidates themselves where there was none.
        sources: How many are described at most.
        lexical_index: Knows the words of every passage.
        reranked: Whether a reranker gave `ordered` its scores.
    """
    before = {found.node.node_id: (rank, found) for rank, found in enumerate(candidates, start=1)}
    best_retrieval = max((found.score or 0.0 for found in candidates), default=0.0)
    best_rerank = max((found.score or 0.0 for found in ordered), default=0.0)
    best_of_leg = _best_of_each_leg(candidates)
    chosen = ordered[:sources]
    texts = [result.node.get_content(metadata_mode=MetadataMode.NONE) for result in chosen]
    marks = find_marks(texts, lexical_index.morphemes.query_tokens(question))
    views = []
    for number, result in enumerate(chosen, start=1):
        rank, found = before[result.node.node_id]
        views.append(
            SourceView(
                number=number,
                node_id=result.node.node_id,
                title=source_title(result.node),
                text=texts[number - 1],
                rank_before=rank,
                retrieval_score=float(found.score or 0.0),
                retrieval_share=_share(found.score, best_retrieval),
                rerank_score=float(result.score or 0.0) if reranked else None,
                rerank_share=_share(result.score, best_rerank) if reranked else 0.0,
                legs=tuple(
                    LegView(name, hit.rank, hit.score, _share(hit.score, best_of_leg[name]))
                    for name, hit in sources_of(found).items()
                ),
                words=matched_words(question, result.node.node_id, lexical_index),
                marks=marks[number - 1],
                window=result.window if isinstance(result, RankedNode) else None,
            )
        )
    return views


def outranked(
    candidates: Sequence[NodeWithScore], ordered: Sequence[NodeWithScore], *, sources: int
) -> list[Outranked]:
    """Name the candidates that reranking pushed out of the first `sources`, in their old order."""
    after = {result.node.node_id: rank for rank, result in enumerate(ordered, start=1)}
    pushed = []
    for rank, found in enumerate(candidates[:sources], start=1):
        now = after.get(found.node.node_id)
        if now is None or now > sources:
            pushed.append(Outranked(source_title(found.node), rank, now))
    return pushed


def matched_words(question: str, node_id: str, lexical_index: LexicalIndex) -> MatchedWords:
    """Say which words of a question a passage has; of one that was deleted meanwhile, nothing."""
    with lexical_index.lock:
        if node_id not in lexical_index.positions:
            return MatchedWords()
        by_view = lexical_index.matches(question, node_id)
    found, missing = by_view.get("morphemes", ([], []))
    bigrams_found, bigrams_missing = by_view.get("bigrams", ([], []))
    return MatchedWords(tuple(found), tuple(missing), len(bigrams_found), len(bigrams_found) + len(bigrams_missing))


def _best_of_each_leg(candidates: Sequence[NodeWithScore]) -> dict[str, float]:
    best: dict[str, float] = {}
    for found in candidates:
        for name, hit in sources_of(found).items():
            best[name] = max(best.get(name, 0.0), hit.score)
    return best


def _share(score: float | None, best: float) -> float:
    return min(max(float(score or 0.0) / best, 0.0), 1.0) if best > 0 else 0.0
