"""Relevance of what a system returned, decided by its text, and the metrics added up over questions."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from llama_index_ko_rerank.data.dataset import Question, RetrievalDataset, require_rows
from llama_index_ko_rerank.errors import BlankQuery, MalformedData
from llama_index_ko_rerank.evaluate.metrics import METRICS, measure
from llama_index_ko_rerank.evaluate.report import CANDIDATE_RECALL, STAGES, SystemResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """Answer of a system to one question: NFC texts and scores, and the milliseconds of each stage."""

    candidate_texts: list[str]
    texts: list[str]
    scores: list[float | None]
    stage_ms: dict[str, float]


class RelevanceJudgments:
    """Relevant texts of each question, and the position of every passage in document order."""

    def __init__(self, dataset: RetrievalDataset, questions: Sequence[Question]) -> None:
        require_rows(dataset.passages, f"the collection of {dataset.name!r}")
        require_rows(questions, f"split {dataset.split!r} of {dataset.name!r}")
        text_by_id = {passage.id: unicodedata.normalize("NFC", passage.text) for passage in dataset.passages}
        self.position = {text: position for position, text in enumerate(text_by_id.values())}
        self.relevant = [self._relevant_texts(question, text_by_id) for question in questions]

    @staticmethod
    def _relevant_texts(question: Question, text_by_id: Mapping[str, str]) -> frozenset[str]:
        if not question.text.strip():
            raise BlankQuery(f"question {question.id!r} is blank; leave it out of the data set")
        missing = [passage_id for passage_id in question.passage_ids if passage_id not in text_by_id]
        if missing or not question.passage_ids:
            found = f"passage {missing[0]!r}, which is not in the collection" if missing else "no passage"
            raise MalformedData(f"question {question.id!r} names {found}; every question needs a passage to find")
        return frozenset(text_by_id[passage_id] for passage_id in question.passage_ids)

    def in_document_order(self, answer: Answer) -> list[str]:
        """Return the result texts with each run of equal scores put into document order."""
        unknown = len(self.position)
        scored = zip(answer.texts, answer.scores, strict=True)
        # A new object equals nothing else, so a result with no score is a run of its own.
        runs = groupby(scored, key=lambda result: object() if result[1] is None else result[1])
        return [
            text for _, run in runs for text, _ in sorted(run, key=lambda result: self.position.get(result[0], unknown))
        ]


@dataclass
class MetricAccumulator:
    """Accumulator of one system's figures, with counts that a reader of the report should know."""

    values: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in (*METRICS, CANDIDATE_RECALL)})
    stage_ms: dict[str, list[float]] = field(default_factory=dict)
    candidate_counts: list[int] = field(default_factory=list)
    unknown_texts: int = 0
    repeated_texts: int = 0
    reordered_questions: int = 0

    def add(self, judgments: RelevanceJudgments, index: int, answer: Answer) -> None:
        """Add the metrics of the answer to the question at `index`."""
        relevant, ranking = judgments.relevant[index], judgments.in_document_order(answer)
        for key, value in measure(ranking, relevant).items():
            self.values[key].append(value)
        self.values[CANDIDATE_RECALL].append(float(not relevant.isdisjoint(answer.candidate_texts)))
        self.candidate_counts.append(len(answer.candidate_texts))
        for stage, spent in answer.stage_ms.items():
            self.stage_ms.setdefault(stage, []).append(spent)
        self.unknown_texts += sum(text not in judgments.position for text in ranking)
        self.repeated_texts += len(ranking) - len(set(ranking))
        self.reordered_questions += ranking != answer.texts

    def log_irregularities(self, name: str) -> None:
        """Log once what was odd about this system's results."""
        if self.unknown_texts:
            logger.warning(
                "%s: %d results are no passage of the data set and can never be hits; "
                "was the collection split into chunks, or is another one indexed?",
                name,
                self.unknown_texts,
            )
        if self.repeated_texts:
            logger.warning("%s: %d results repeat a text and were passed over", name, self.repeated_texts)
        if self.reordered_questions:
            logger.info("%s: equal scores were put into document order on %d questions", name, self.reordered_questions)

    def result(self) -> SystemResult:
        """Return the figures of all questions as arrays."""
        return SystemResult(
            values={key: np.array(column, dtype=np.float64) for key, column in self.values.items()},
            stage_ms={stage: np.array(self.stage_ms[stage]) for stage in STAGES if stage in self.stage_ms},
            candidate_counts=np.array(self.candidate_counts, dtype=np.int64),
        )
