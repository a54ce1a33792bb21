"""Hard negatives for question rows: candidates from BM25 and from an embedding model, less those that answer too."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.data.near_duplicates import find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex, best_first
from llama_index_ko_rerank.train.data.rows import QuestionRows
from llama_index_ko_rerank.train.models.loading import pair_logits, unit_vectors
from llama_index_ko_rerank.train.recipes.recipe import MiningSettings

NONE = -1
"""Stands in a ranking where there is no further candidate."""


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """The negatives of every row.

    Attributes:
        positions: int64 of shape (rows, count), indices in the collection, the hardest first; no row has one twice.
        dropped: Candidates left out since their cosine was above the ceiling.
        sampled: Negatives sampled at random, where a row had too few candidates.
    """

    positions: NDArray[np.int64]
    dropped: int
    sampled: int


def nearest_passages(
    questions: NDArray[np.float32], passages: NDArray[np.float32], top_k: int, *, held_at_once: int = 1 << 26
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each question the passages of the highest inner product, exactly, in blocks of bounded memory.

    Args:
        questions: Shape (questions, dimension).
        passages: Shape (passages, dimension).
        top_k: How many; fewer where there are fewer passages.
        held_at_once: Inner products in memory at once, four bytes each; 256 MB by default.

    Returns:
        Positions and inner products, both of shape (questions, top_k), best first; equal ones in order of position.
    """
    top_k = min(top_k, len(passages))
    positions = np.empty((len(questions), top_k), np.int64)
    products = np.empty((len(questions), top_k), np.float32)
    height = max(1, held_at_once // max(1, len(passages)))
    for start in range(0, len(questions), height):
        block = questions[start : start + height] @ passages.T
        found = np.sort(np.argpartition(-block, top_k - 1, axis=1)[:, :top_k], axis=1)
        values = np.take_along_axis(block, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        positions[start : start + height] = np.take_along_axis(found, order, axis=1)
        products[start : start + height] = np.take_along_axis(values, order, axis=1)
    return positions, products


def cosines_at(
    questions: NDArray[np.float32], passages: NDArray[np.float32], positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Compute the inner product of each question with some passages of its own.

    Args:
        questions: Shape (questions, dimension).
        passages: Shape (passages, dimension).
        positions: Shape (questions, depth); `NONE` gives minus infinity.

    Returns:
        Shape (questions, depth).
    """
    products = np.full(positions.shape, -np.inf, np.float32)
    for row, indices in enumerate(positions):
        named = indices != NONE
        products[row, named] = passages[indices[named]] @ questions[row]
    return products


def mine_negatives(
    rankings: Sequence[NDArray[np.int64]],
    *,
    excluded: Sequence[Collection[int]],
    count: int,
    passages: int,
    seed: int,
    cosines: Sequence[NDArray[np.float32]] = (),
    max_cosines: NDArray[np.float32] | None = None,
) -> MinedNegatives:
    """Choose the hard negatives of each row: the first of every ranking, then the second of every one, and so on.

    A candidate is passed over where it is excluded, where an earlier ranking named it, or where its cosine is above the
    row's ceiling. Where too few are left, others are sampled that were not passed over; in a collection too small for
    that, those above the ceiling are taken back.

    Args:
        rankings: One array a source, each of shape (rows, depth), best first; `NONE` where a source has no more.
        excluded: For each row the passages that must not be its negatives: its answers and their near copies.
        count: Negatives a row.
        passages: How many the collection holds.
        seed: Of the sampling; each row has its own stream.
        cosines: For each ranking the cosines of its candidates, of the same shape; none are compared where empty.
        max_cosines: Shape (rows,); the highest cosine that a negative may have.

    Raises:
        EmptyCorpus: A row has fewer than `count` passages that are not excluded.
    """
    merged = np.stack(rankings, axis=2).reshape(len(excluded), -1)
    too_near = np.zeros(merged.shape, np.bool_)
    if max_cosines is not None:
        too_near = np.stack(cosines, axis=2).reshape(merged.shape) > max_cosines[:, None]
    chosen = np.empty((len(excluded), count), np.int64)
    dropped = sampled = 0
    for row, own in enumerate(excluded):
        named = merged[row] != NONE
        above = set(merged[row, named & too_near[row]].tolist()).difference(own)
        candidates = dict.fromkeys(merged[row, named & ~too_near[row]].tolist())
        taken = [index for index in candidates if index not in own][:count]
        dropped += len(above)
        if len(taken) < count:
            sampled += count - len(taken)
            taken += _sample(count - len(taken), passages, [{*own, *taken}, above], np.random.default_rng((seed, row)))
        chosen[row] = taken
    return MinedNegatives(chosen, dropped, sampled)


def _sample(count: int, passages: int, barred: list[set[int]], generator: np.random.Generator) -> list[int]:
    """Sample distinct indices outside both sets, or where there are too few, outside the first only."""
    never, rather_not = barred
    if len(never) + count > passages:
        raise EmptyCorpus(
            f"a question has {passages - len(never)} passages that could be its negatives, and {count} are wanted; "
            "add passages, or take fewer negatives"
        )
    avoided = never | rather_not if len(never | rather_not) + count <= passages else never
    found: dict[int, None] = {}
    if passages < 4 * (len(avoided) + count):
        free = [index for index in range(passages) if index not in avoided]
        return [free[index] for index in generator.choice(len(free), count, replace=False).tolist()]
    while len(found) < count:
        index = int(generator.integers(passages))
        if index not in avoided:
            found[index] = None
    return list(found)


_FILTER_DEPTH = 3  # candidates that the filter reads for each negative that is wanted
_BATCH = 32

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HardNegatives:
    """The hard negatives of question rows.

    Attributes:
        texts: One tuple a row, in the order of the rows, all of one length, the hardest first.
        sources: Where candidates came from.
        near_duplicates: Passages kept from being negatives since they nearly are a context of the question.
        dropped: Candidates dropped by the margin of cosines.
        filtered_by_cross_encoder: Candidates dropped by the cross-encoder.
        sampled: Negatives sampled at random for want of candidates.
    """

    texts: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]
    near_duplicates: int
    dropped: int
    filtered_by_cross_encoder: int
    sampled: int

    @property
    def summary(self) -> str:
        """Counts of the mining in one line."""
        count = len(self.texts[0]) if self.texts else 0
        parts = [f"{count} hard negatives a row from {' and '.join(self.sources)}"]
        for number, what in (
            (self.dropped, "candidates dropped by their cosine"),
            (self.filtered_by_cross_encoder, "candidates dropped by the cross-encoder"),
            (self.near_duplicates, "near copies of contexts passed over"),
            (self.sampled, "negatives sampled at random"),
        ):
            parts += [f"{number:,} {what}"] if number else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class _MiningCorpus:
    """The collection that negatives come from, with the answers of each row."""

    passages: list[str]
    indices: dict[str, int] = field(repr=False)
    questions: list[str]
    question_of_row: NDArray[np.int64]
    context_of_row: NDArray[np.int64]
    excluded: list[frozenset[int]]
    near_duplicates: int


def mine_hard_negatives(
    rows: QuestionRows,
    settings: MiningSettings,
    *,
    seed: int,
    without: Collection[str] = (),
    embedding: SentenceTransformer | None = None,
    cross_encoder_filter: CrossEncoder | None = None,
) -> HardNegatives:
    """Mine hard negatives for every row, from BM25 over character bigrams and from an embedding model.

    Never a negative are: every context that answers the question's text, near copies of these
    (see `find_near_duplicates`), a candidate whose cosine is within the margin of the row's context, and
    one that `cross_encoder_filter` scores near it. The same rows, model and seed give the same negatives.

    Args:
        rows: Questions with their contexts, and the collection to mine.
        settings: How many, how deep, and the margins.
        seed: Of what is sampled where candidates are too few.
        without: Passages to leave out of the collection: the contexts of the validation questions.
        embedding: Its nearest passages are candidates, and its cosines bound all of them. Defaults to BM25 alone.
        cross_encoder_filter: Reads the first candidates of each row with the row's question.

    Raises:
        EmptyCorpus: There is no passage that could be a negative.
    """
    corpus = _mining_corpus(rows, frozenset(without))
    count = min(settings.negatives, len(corpus.passages) - max(map(len, corpus.excluded)))
    if count < 1:
        raise EmptyCorpus(f"{rows.name}: a question has no passage that could be its negative; add other passages")
    if count < settings.negatives:
        _log.warning("the collection has room for %d hard negatives a row and not %d", count, settings.negatives)
    wanted = (
        count
        if cross_encoder_filter is None
        else min(_FILTER_DEPTH * count, len(corpus.passages) - max(map(len, corpus.excluded)))
    )
    mined = _mine(corpus, settings, embedding, count=wanted, seed=seed)
    filtered_by_cross_encoder = 0
    if cross_encoder_filter is not None:
        mined, filtered_by_cross_encoder = _filtered(
            corpus, settings, cross_encoder_filter, mined, count=count, seed=seed
        )
    return HardNegatives(
        texts=tuple(tuple(corpus.passages[index] for index in indices) for indices in mined.positions.tolist()),
        sources=("BM25",) if embedding is None else ("BM25", "the embedding model"),
        near_duplicates=corpus.near_duplicates,
        dropped=mined.dropped,
        filtered_by_cross_encoder=filtered_by_cross_encoder,
        sampled=mined.sampled,
    )


def _mining_corpus(rows: QuestionRows, without: frozenset[str]) -> _MiningCorpus:
    contexts = rows.contexts
    passages = [text for text in dict.fromkeys((*rows.collection, *contexts)) if text not in without]
    indices = {text: index for index, text in enumerate(passages)}
    table = minhash_signatures(passages)
    own = np.array([indices[text] for text in contexts])
    found = find_near_duplicates(table[own], table)
    copies = {index: {index, *near.tolist()} for index, near in zip(own.tolist(), found, strict=True)}
    answers = rows.answers()
    questions = list(answers)
    number = {question: index for index, question in enumerate(questions)}
    excluded = {
        question: frozenset().union(*(copies[indices[text]] for text in texts)) for question, texts in answers.items()
    }
    return _MiningCorpus(
        passages,
        indices,
        questions,
        np.array([number[pair.question] for pair in rows.pairs]),
        np.array([indices[pair.context] for pair in rows.pairs]),
        [excluded[pair.question] for pair in rows.pairs],
        sum(len(found) - 1 for found in copies.values()),
    )


def _mine(
    corpus: _MiningCorpus, settings: MiningSettings, embedding: SentenceTransformer | None, *, count: int, seed: int
) -> MinedNegatives:
    depth = max(settings.depth, count) + max(map(len, corpus.excluded))
    lexical = lexical_ranking(corpus.passages, corpus.questions, depth)
    if embedding is None:
        return mine_negatives(
            [lexical[corpus.question_of_row]],
            excluded=corpus.excluded,
            count=count,
            passages=len(corpus.passages),
            seed=seed,
        )
    questions = unit_vectors(embedding, corpus.questions, "query", _BATCH)
    passages = unit_vectors(embedding, corpus.passages, "document", _BATCH)
    dense, cosines = nearest_passages(questions, passages, depth)
    own = np.sum(questions[corpus.question_of_row] * passages[corpus.context_of_row], axis=1)
    return mine_negatives(
        [lexical[corpus.question_of_row], dense[corpus.question_of_row]],
        excluded=corpus.excluded,
        count=count,
        passages=len(corpus.passages),
        seed=seed,
        cosines=[cosines_at(questions, passages, lexical)[corpus.question_of_row], cosines[corpus.question_of_row]],
        max_cosines=own - settings.margin * np.abs(own),
    )


def lexical_ranking(passages: Sequence[str], questions: Sequence[str], top_k: int) -> NDArray[np.int64]:
    """Rank passages for each question by BM25 over character bigrams, which needs no morphemes and so little time.

    Returns:
        Shape (questions, top_k) or with fewer columns where there are fewer passages, best first; `NONE` past the last
        passage that shares a bigram with the question.
    """
    index = LexicalIndex(("bigrams",))
    index.add([str(row) for row in range(len(passages))], list(passages))
    ranking = np.full((len(questions), min(top_k, len(passages))), NONE, np.int64)
    for row, question in enumerate(questions):
        found = best_first(index.combine(index.analyzer_scores(question)), ranking.shape[1])
        ranking[row, : len(found)] = found
    return ranking


def _filtered(
    corpus: _MiningCorpus,
    settings: MiningSettings,
    cross_encoder_filter: CrossEncoder,
    mined: MinedNegatives,
    *,
    count: int,
    seed: int,
) -> tuple[MinedNegatives, int]:
    """Score each row's candidates with a cross-encoder, and keep those well below the row's context."""
    questions = [corpus.questions[index] for index in corpus.question_of_row]
    own = pair_logits(
        cross_encoder_filter,
        [(q, corpus.passages[index]) for q, index in zip(questions, corpus.context_of_row, strict=True)],
        _BATCH,
    )
    pairs = [
        (q, corpus.passages[index]) for q, row in zip(questions, mined.positions.tolist(), strict=True) for index in row
    ]
    logits = pair_logits(cross_encoder_filter, pairs, _BATCH).reshape(mined.positions.shape)
    false = logits > (own - settings.cross_encoder_margin)[:, None]
    kept = np.where(false, NONE, mined.positions)
    excluded = [
        frozenset((*barred, *row[is_false].tolist()))
        for barred, row, is_false in zip(corpus.excluded, mined.positions, false, strict=True)
    ]
    roomy = [
        barred if len(corpus.passages) - len(barred) >= count else corpus.excluded[row]
        for row, barred in enumerate(excluded)
    ]
    chosen = mine_negatives([kept], excluded=roomy, count=count, passages=len(corpus.passages), seed=seed)
    return MinedNegatives(chosen.positions, mined.dropped, mined.sampled + chosen.sampled), int(false.sum())
