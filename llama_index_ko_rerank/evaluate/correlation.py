"""How well scores of text pairs follow their labels: the second table of the book."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from numpy.typing import NDArray

from llama_index_ko_rerank.data.dataset import (
    PairDataset,
    Passage,
    Question,
    RetrievalDataset,
    SentencePair,
    TrainingPair,
    require_rows,
)
from llama_index_ko_rerank.data.random_negatives import irrelevant_contexts
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate.report import (
    installed_versions,
    interval_text,
    markdown_table,
    rounded_or_none,
    versions_text,
)
from llama_index_ko_rerank.evaluate.significance import RESAMPLES, Interval, draw_resamples
from llama_index_ko_rerank.files import write_json_file, write_text_file

logger = logging.getLogger(__name__)

ScorePairs: TypeAlias = Callable[[list[tuple[str, str]]], Sequence[float]]


@dataclass(frozen=True)
class Correlation:
    """One row of the table.

    Attributes:
        dataset: The spec that the data set was loaded by, and its split.
        split: The split that the pairs came from.
        pairs: How many pairs were scored.
        spearman: Spearman's rank correlation of score and label with its 95 % interval, in -1 to 1; NaN where all
            scores are equal, since these have no order.
    """

    dataset: str
    split: str
    pairs: int
    spearman: Interval


@dataclass(frozen=True)
class CorrelationReport:
    """The table of correlations, a row a model.

    Attributes:
        rows: By the name that the table calls them, in its order.
        command: The command that makes this report again; empty where unknown.
        versions: Of Python and the libraries, None where one is not installed, and the number of processors.
    """

    rows: Mapping[str, Correlation]
    command: str = ""
    versions: dict[str, str | int | None] = field(default_factory=installed_versions)

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain JSON types, figures rounded to six decimals, null where a correlation is undefined."""
        rows = {
            name: {
                "dataset": row.dataset,
                "split": row.split,
                "pairs": row.pairs,
                "spearman": {end: rounded_or_none(number) for end, number in row.spearman._asdict().items()},
            }
            for name, row in self.rows.items()
        }
        return {"command": self.command, "versions": self.versions, "rows": rows}

    def to_markdown(self) -> str:
        """Write the table and how its figures came about."""
        table = markdown_table(
            ["model", "data", "split", "pairs", "Spearman"],
            [
                [name, row.dataset, row.split, f"{row.pairs:,}", interval_text(row.spearman)]
                for name, row in self.rows.items()
            ],
        )
        notes = [f"- Command: `{self.command}`"] if self.command else []
        notes.append(f"- Versions: {versions_text(self.versions)}")
        lead = "Spearman's rank correlation of score and label, with its 95 % bootstrap interval."
        return "\n\n".join(["# Scores against labels", lead, table, "\n".join(notes)]) + "\n"

    def write_json(self, path: str | Path) -> None:
        """Write `to_json_dict` as UTF-8, whole or not at all."""
        write_json_file(path, self.to_json_dict())

    def write_markdown(self, path: str | Path) -> None:
        """Write `to_markdown` as UTF-8, whole or not at all."""
        write_text_file(path, self.to_markdown())


def pair_correlation(
    score: ScorePairs,
    pairs: Sequence[SentencePair],
    *,
    pairs_drawn_together: int = 1,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Give Spearman's rank correlation between the scores of pairs and their labels, with its 95 % interval.

    Args:
        score: Gives one number for each (first, second) text, larger for more alike; asked once, for all pairs.
        pairs: Labelled pairs, at least two.
        pairs_drawn_together: How many neighbouring pairs belong together, as two pairs of one question do, and so are
            drawn together by the bootstrap; divides the number of pairs.
        seed: Of the bootstrap.
        resamples: How many times the pairs are drawn again.

    Returns:
        In -1 to 1; all NaN, and logged, where all scores or all labels are equal.

    Raises:
        EmptyCorpus: There are no pairs.
        InvalidSetting: `score` gives another number of scores than pairs, or NaN or infinity, or the pairs cannot be
            divided into groups of `pairs_drawn_together`.

    Source: Spearman, The American Journal of Psychology 15(1), 1904, as Pearson's correlation of average ranks.
    """
    require_rows(pairs, "the list of pairs")
    if pairs_drawn_together < 1 or len(pairs) % pairs_drawn_together:
        raise InvalidSetting(f"{len(pairs)} pairs cannot be drawn {pairs_drawn_together} together")
    predicted = np.asarray(score([(pair.sentence1, pair.sentence2) for pair in pairs]), dtype=np.float64)
    if predicted.shape != (len(pairs),) or not np.isfinite(predicted).all():
        raise InvalidSetting(
            f"{len(pairs)} pairs need as many finite scores; found shape {predicted.shape} "
            f"with {int((~np.isfinite(predicted)).sum())} NaN or infinite"
        )
    labels = np.array([pair.label for pair in pairs], dtype=np.float64)
    if np.ptp(predicted) == 0.0 or np.ptp(labels) == 0.0:
        logger.warning("all scores or all labels of %d pairs are equal; their correlation is undefined", len(pairs))
        return Interval(float("nan"), float("nan"), float("nan"))
    groups = np.arange(len(pairs)).reshape(-1, pairs_drawn_together)
    blocks = draw_resamples(len(groups), seed=seed, resamples=resamples)
    drawn_rows = (groups[block].reshape(len(block), -1) for block in blocks)
    drawn = np.concatenate([spearman(predicted[rows], labels[rows]) for rows in drawn_rows])
    undefined = np.isnan(drawn)
    if undefined.any():
        logger.info("%d of %d draws held one score or one label only and were left out", undefined.sum(), resamples)
    low, high = np.quantile(drawn[~undefined], (0.025, 0.975))
    return Interval(float(spearman(predicted[None], labels[None])[0]), float(low), float(high))


def sts_correlation(embed_model: BaseEmbedding, dataset: PairDataset, *, seed: int = 0) -> Correlation:
    """Give Spearman's correlation between the cosine of two sentences and how alike they are labelled.

    Both sentences are embedded as passages, since neither asks for the other. The labels' scale is of no matter.

    Raises:
        EmptyCorpus: The data set has no pairs.
    """
    interval = pair_correlation(cosine_scorer(embed_model, first_is="passage"), dataset.pairs, seed=seed)
    return Correlation(dataset.name, dataset.split, len(dataset.pairs), interval)


def mrc_correlation(
    score_pairs: ScorePairs, dataset: RetrievalDataset, *, questions: int = 100, seed: int = 42
) -> Correlation:
    """Give Spearman's correlation between scores and whether a context belongs to its question.

    Each of the first questions is paired with its own context (label 1) and with one of another title (label 0).

    Args:
        score_pairs: Gives one number for each (question, context); a cross-encoder's, or `cosine_scorer`'s.
        dataset: Questions with their passages; of several passages a question has, the first is taken.
        questions: How many questions, from the first; all where the data set has fewer.
        seed: Of the irrelevant contexts, which are drawn from all questions of the data set, and of the bootstrap.

    Raises:
        EmptyCorpus: The data set has no questions.
        InvalidSetting: `questions` is below 1.
    """
    if questions < 1:
        raise InvalidSetting(f"questions={questions} was asked for; give at least 1")
    passages = {passage.id: passage for passage in dataset.passages}
    require_rows(dataset.questions, f"split {dataset.split!r} of {dataset.name!r}")
    owned = [_first_pair(question, passages) for question in dataset.questions]
    pairs = [
        labelled
        for pair, irrelevant in zip(owned[:questions], irrelevant_contexts(owned, seed=seed), strict=False)
        for labelled in (SentencePair(pair.question, pair.context, 1), SentencePair(pair.question, irrelevant, 0))
    ]
    interval = pair_correlation(score_pairs, pairs, pairs_drawn_together=2, seed=seed)
    return Correlation(dataset.name, dataset.split, len(pairs), interval)


def cosine_scorer(embed_model: BaseEmbedding, *, first_is: Literal["query", "passage"]) -> ScorePairs:
    """Make a scorer of pairs out of an embedding model: the cosine of a pair's two vectors.

    Args:
        embed_model: Any LlamaIndex embedding.
        first_is: Whether the first text of a pair is embedded as a query, with the model's query prompt (a question
            and its context), or as a passage (two sentences). The second is always a passage.
    """

    def cosines(pairs: list[tuple[str, str]]) -> list[float]:
        first_texts, second_texts = [first for first, _ in pairs], [second for _, second in pairs]
        if first_is == "query":
            first = [embed_model.get_query_embedding(text) for text in first_texts]
        else:
            first = embed_model.get_text_embedding_batch(first_texts)
        second = embed_model.get_text_embedding_batch(second_texts)
        return [float(cosine) for cosine in np.sum(_unit_rows(first) * _unit_rows(second), axis=1)]

    return cosines


def _first_pair(question: Question, passages: Mapping[str, Passage]) -> TrainingPair:
    passage = passages[question.passage_ids[0]]
    return TrainingPair(question.text, passage.text, passage.title)


def _unit_rows(vectors: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Scale each vector to length 1; a zero vector stays zero, and its cosine with anything is 0."""
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate the ranks of each row of two arrays of shape (rows, pairs); NaN where a row does not vary."""
    from scipy.stats import rankdata

    left_ranks, right_ranks = rankdata(left, axis=1), rankdata(right, axis=1)
    middle = (left.shape[1] + 1) / 2
    left_ranks, right_ranks = left_ranks - middle, right_ranks - middle
    products = np.sum(left_ranks * right_ranks, axis=1)
    scale = np.sqrt(np.sum(left_ranks**2, axis=1) * np.sum(right_ranks**2, axis=1))
    correlations: NDArray[np.float64] = np.divide(products, scale, out=np.full(len(left), np.nan), where=scale > 0)
    return correlations
