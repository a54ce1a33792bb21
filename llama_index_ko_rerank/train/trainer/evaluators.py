"""Evaluators that choose the best step: a ranking or a correlation on the validation rows, never the loss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer

from llama_index_ko_rerank.evaluate.correlation import spearman
from llama_index_ko_rerank.evaluate.metrics import reciprocal_rank_at_k
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.text.tokenizers import BigramTokenizer
from llama_index_ko_rerank.train.data.rows import QuestionRows, SentenceRows
from llama_index_ko_rerank.train.models.loading import pair_logits, unit_vectors

_Model = TypeVar("_Model", SentenceTransformer, CrossEncoder, contravariant=True)

MRR = "mrr@10"
SPEARMAN = "spearman"

_CandidateList: TypeAlias = tuple[str, list[str], set[int]]  # question, candidates, rows of the right ones


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorSettings:
    """Sizes of the evaluations.

    Attributes:
        search_questions: Questions for an embedding model, sampled from more.
        search_passages: Passages that it searches: all contexts of the questions, and others of the collection.
        rerank_questions: Questions for a cross-encoder, sampled from more.
        rerank_candidates: Passages that it reads for each question, one of its contexts among them.
        rerank_near: How many of these are the passages that share most character bigrams with the question.
        first_stage_candidates: Passages that a cross-encoder reorders for each question as the search found them.
        batch_size: Texts or pairs that go through the model at once.
    """

    search_questions: int = 1000
    search_passages: int = 2000
    rerank_questions: int = 100
    rerank_candidates: int = 10
    rerank_near: int = 5
    first_stage_candidates: int = 20
    batch_size: int = 32


class Evaluator(Protocol[_Model]):
    """Evaluator of a model: one figure, larger is better.

    Attributes:
        metric: The figure's name.
        description: What a reader of the model's card must know of how it was measured; may be empty.
    """

    metric: str
    description: str

    def __call__(self, model: _Model) -> float:
        """Measure the model; the same weights give the same figure."""
        ...


class SearchEvaluator:
    """MRR@10 of validation questions over the collection; equal similarities rank in document order.

    The collection holds every context of the questions, and other passages of the data set, contexts of training
    questions among them, since these too stand in the way when somebody searches.
    """

    metric = MRR
    description = ""

    def __init__(self, rows: QuestionRows, *, seed: int, settings: EvaluatorSettings = EvaluatorSettings()) -> None:
        self.questions, answers = sample_questions(rows, settings.search_questions, seed)
        self.passages = sample_collection(rows, answers, settings.search_passages, seed)
        index = {text: index for index, text in enumerate(self.passages)}
        self._relevant = [{index[text] for text in texts} for texts in answers]
        self._batch_size = settings.batch_size

    def __call__(self, model: SentenceTransformer) -> float:
        """Embed, compare by cosine, and average 1 / rank over the questions."""
        questions = unit_vectors(model, self.questions, "query", self._batch_size)
        passages = unit_vectors(model, self.passages, "document", self._batch_size)
        order = np.argsort(-(questions @ passages.T), axis=1, kind="stable")[:, :10].tolist()
        return float(
            np.mean([reciprocal_rank_at_k(row, own, k=10) for row, own in zip(order, self._relevant, strict=True)])
        )


class RerankEvaluator:
    """MRR@10 of a context of each validation question among distractors, half of them near, half sampled.

    The context is always on the list: this measures the order that a cross-encoder gives, not what a search would find,
    and is no end-to-end figure. Its position on the list is random, and equal logits keep the list's order, so that a
    constant model gains nothing. A distractor never answers the question. Near ones share the most distinct character
    bigrams with it, for their length, so that counting common words does not suffice.
    """

    metric = MRR
    description = (
        "In the validation lists the right context is always among the candidates, so the score is of their "
        "order, not of how often a search finds the answer."
    )

    def __init__(self, rows: QuestionRows, *, seed: int, settings: EvaluatorSettings = EvaluatorSettings()) -> None:
        questions, answers = sample_questions(rows, settings.rerank_questions, seed)
        passages = list(dict.fromkeys((*rows.collection, *rows.contexts)))
        bigrams = [set(tokens) for tokens in BigramTokenizer().tokens(passages)]
        generator = random.Random(seed)
        self.lists: list[_CandidateList] = []
        for question, own in zip(questions, answers, strict=True):
            others = _nearest_first(question, [i for i, text in enumerate(passages) if text not in own], bigrams)
            near, far = others[: settings.rerank_near], others[settings.rerank_near :]
            far = generator.sample(far, min(len(far), settings.rerank_candidates - 1 - len(near)))
            candidates = [generator.choice(sorted(own)), *(passages[index] for index in (*near, *far))]
            generator.shuffle(candidates)
            self.lists.append((question, candidates, {i for i, text in enumerate(candidates) if text in own}))
        self._batch_size = settings.batch_size

    def __call__(self, model: CrossEncoder) -> float:
        """Score every candidate, order each list, and average 1 / rank of the context."""
        return _reranked_mrr(model, self.lists, self._batch_size)


class CosineEvaluator:
    """Spearman's correlation of labels with cosines; both sentences are embedded alike, since neither is a question."""

    metric = SPEARMAN
    description = ""

    def __init__(self, rows: SentenceRows, *, settings: EvaluatorSettings = EvaluatorSettings()) -> None:
        self._rows = rows
        self._batch_size = settings.batch_size

    def __call__(self, model: SentenceTransformer) -> float:
        """Embed both sides and correlate; 0 where all cosines are equal."""
        first = [pair.sentence1 for pair in self._rows.pairs]
        second = [pair.sentence2 for pair in self._rows.pairs]
        left, right = (unit_vectors(model, texts, "document", self._batch_size) for texts in (first, second))
        return _correlate(np.sum(left * right, axis=1), self._rows)


class LogitEvaluator:
    """Spearman's correlation of labels with a cross-encoder's logits."""

    metric = SPEARMAN
    description = ""

    def __init__(self, rows: SentenceRows, *, settings: EvaluatorSettings = EvaluatorSettings()) -> None:
        self._rows = rows
        self._batch_size = settings.batch_size

    def __call__(self, model: CrossEncoder) -> float:
        """Score the pairs and correlate; 0 where all logits are equal."""
        pairs = [(pair.sentence1, pair.sentence2) for pair in self._rows.pairs]
        return _correlate(pair_logits(model, pairs, self._batch_size), self._rows)


def sample_questions(rows: QuestionRows, most: int, seed: int) -> tuple[list[str], list[frozenset[str]]]:
    """Sample distinct questions, in their old order, with the texts that answer each."""
    answers = rows.answers()
    questions = list(answers)
    kept = sorted(random.Random(seed).sample(range(len(questions)), min(most, len(questions))))
    return [questions[index] for index in kept], [answers[questions[index]] for index in kept]


def sample_collection(rows: QuestionRows, answers: Sequence[frozenset[str]], most: int, seed: int) -> list[str]:
    """Take every passage that answers, and sample others up to `most`; all in document order."""
    everything = dict.fromkeys((*rows.collection, *rows.contexts))
    needed = frozenset().union(*answers)
    others = [text for text in everything if text not in needed]
    room = min(len(others), max(0, most - len(needed)))
    kept = needed.union(random.Random(seed).sample(others, room))
    return [text for text in everything if text in kept]


def _nearest_first(question: str, indexes: Sequence[int], bigrams: Sequence[set[str]]) -> list[int]:
    wanted = set(BigramTokenizer().query_tokens(question))
    # The fourth root keeps long passages, which share more with any question, from standing near everything.
    return sorted(indexes, key=lambda i: (-len(wanted & bigrams[i]) / max(1, len(bigrams[i])) ** 0.25, i))


def _correlate(scores: NDArray[np.floating], rows: SentenceRows) -> float:
    """Correlate scores with labels by rank; 0 where either has no order."""
    labels = np.array([[float(pair.label) for pair in rows.pairs]])
    correlation = float(spearman(np.asarray(scores, np.float64)[None], labels)[0])
    return 0.0 if np.isnan(correlation) else correlation


MACRO_F1 = "macro-f1"


class ClassEvaluator:
    """The F1 of every class that the validation rows have, averaged with equal weight, so that rare ones count."""

    metric = MACRO_F1
    description = ""

    def __init__(self, rows: SentenceRows, *, batch_size: int = 32) -> None:
        self._pairs = [(pair.sentence1, pair.sentence2) for pair in rows.pairs]
        self._labels = np.array([int(pair.label) for pair in rows.pairs])
        self._batch_size = batch_size

    def __call__(self, model: CrossEncoder) -> float:
        """Predict the class of the highest logit, the first of equal ones, and compare."""
        return macro_f1(self._labels, np.argmax(pair_logits(model, self._pairs, self._batch_size), axis=1))


def macro_f1(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Average the F1 of each class that the labels have.

    >>> round(macro_f1(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])), 4)
    0.7333
    """
    scores = []
    for label in np.unique(labels):
        right = int(np.sum((labels == label) & (predicted == label)))
        scores.append(2 * right / int(np.sum(labels == label) + np.sum(predicted == label)))
    return float(np.mean(scores))


class FirstStageEvaluator:
    """MRR@10 of validation questions after reranking the first candidates of the two lexical views.

    No context is put among the candidates: where the search missed it the question counts 0, so that the figure is
    that of the two stages together. Equal logits keep the search's order.
    """

    metric = MRR

    def __init__(self, rows: QuestionRows, *, seed: int, settings: EvaluatorSettings | None = None) -> None:
        settings = settings or EvaluatorSettings()
        questions, answers = sample_questions(rows, settings.rerank_questions, seed)
        passages = sample_collection(rows, answers, settings.search_passages, seed)
        index = LexicalIndex()
        index.add([str(row) for row in range(len(passages))], passages)
        self.lists: list[_CandidateList] = []
        for question, own in zip(questions, answers, strict=True):
            hits = index.search(question, settings.first_stage_candidates)
            candidates = [passages[hit.position] for hit in hits]
            self.lists.append((question, candidates, {index for index, text in enumerate(candidates) if text in own}))
        self._batch_size = settings.batch_size
        found = sum(bool(relevant) for _, _, relevant in self.lists)
        self.description = (
            f"In validation it reorders the first {settings.first_stage_candidates} of BM25 (morphemes and bigrams) "
            f"over {len(passages):,} passages, which hold a right one for {found} of {len(self.lists)} questions; the "
            f"others count 0. BM25's own order scores {self.first_stage_value:.4f}."
        )

    @property
    def first_stage_value(self) -> float:
        """The MRR@10 of the candidates as the search ordered them."""
        return float(np.mean([_reciprocal_rank(list(range(len(texts))), right) for _, texts, right in self.lists]))

    def __call__(self, model: CrossEncoder) -> float:
        """Score every candidate, order each list, and average 1 / rank of the first right one."""
        return _reranked_mrr(model, self.lists, self._batch_size)


def _reranked_mrr(model: CrossEncoder, lists: Sequence[_CandidateList], batch_size: int) -> float:
    """Order each list by the model's logits, equal ones as they stand, and average the reciprocal ranks."""
    pairs = [(question, text) for question, candidates, _ in lists for text in candidates]
    logits = iter(pair_logits(model, pairs, batch_size).tolist() if pairs else ())
    ranks = []
    for _, candidates, relevant in lists:
        order = np.argsort([-next(logits) for _ in candidates], kind="stable").tolist()
        ranks.append(_reciprocal_rank(order, relevant))
    return float(np.mean(ranks))


def _reciprocal_rank(order: list[int], relevant: set[int]) -> float:
    """Return 1 / rank of the first right candidate among ten, and 0 where the search found none."""
    return reciprocal_rank_at_k(order, relevant, k=10) if relevant else 0.0
