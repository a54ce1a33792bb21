"""Report of an evaluation: a figure with its interval for every system, as an object, JSON and Markdown."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.evaluate.metrics import METRICS
from llama_index_ko_rerank.evaluate.significance import Interval, bootstrap_intervals, paired_difference
from llama_index_ko_rerank.files import write_json_file, write_text_file

CANDIDATE_RECALL = "candidate_recall"
STAGES = ("embed", "search", "rerank", "total")

_LIBRARIES = (
    "llama-index-ko-rerank",
    "llama-index-core",
    "sentence-transformers",
    "transformers",
    "torch",
    "faiss-cpu",
    "kiwipiepy",
    "numpy",
)
METRIC_TITLES = {
    "hit@1": "HitRate@1",
    "hit@3": "HitRate@3",
    "hit@10": "HitRate@10",
    "mrr@10": "MRR@10",
    "ndcg@10": "nDCG@10",
}


@dataclass(frozen=True, eq=False)
class SystemResult:
    """Figures of one system on every question.

    Attributes:
        values: Each of `METRICS` and ``candidate_recall``, by name; each of shape (questions,), in 0-1.
        stage_ms: Milliseconds by stage: ``search`` and ``total``, and ``embed`` and ``rerank`` where the system has
            them; each of shape (questions,).
        candidate_counts: How many candidates there were before reranking, shape (questions,).
    """

    values: Mapping[str, NDArray[np.float64]]
    stage_ms: Mapping[str, NDArray[np.float64]]
    candidate_counts: NDArray[np.int64]

    @property
    def candidates(self) -> int:
        """The median number of candidates; the lower of the middle two where questions are even in number."""
        return int(median_low(self.candidate_counts.tolist()))

    @property
    def latency_ms(self) -> dict[str, dict[str, float]]:
        """The median (``p50``) and the 95th percentile (``p95``) of each stage in milliseconds a question."""
        return {
            stage: {"p50": float(np.percentile(spent, 50)), "p95": float(np.percentile(spent, 95))}
            for stage, spent in self.stage_ms.items()
        }


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """The outcome of `evaluate_retrieval`.

    Attributes:
        dataset: The spec that the data set was loaded by.
        split: The split that the questions came from.
        questions: How many questions there were.
        passages: How many passages the collection holds.
        systems: The systems by name, in the order that they were given.
        command: The command that makes this report again; empty where unknown.
        versions: Of Python and the libraries, None where one is not installed, and the number of processors.
        seed: Of the bootstrap.
    """

    dataset: str
    split: str
    questions: int
    passages: int
    systems: Mapping[str, SystemResult]
    command: str
    versions: dict[str, str | int | None]
    seed: int = 0

    @property
    def values(self) -> dict[str, Mapping[str, NDArray[np.float64]]]:
        """The figure of each question: ``values[system][metric]`` has shape (questions,)."""
        return {name: result.values for name, result in self.systems.items()}

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Every system's mean and 95 % interval by metric, ``candidate_recall`` included."""
        keys = (*METRICS, CANDIDATE_RECALL)
        columns = [result.values[key] for result in self.systems.values() for key in keys]
        found = iter(bootstrap_intervals(np.stack(columns, axis=1), seed=self.seed))
        return {name: {key: next(found) for key in keys} for name in self.systems}

    def difference(self, system: str, other: str, *, metric: str = "mrr@10") -> Interval:
        """Give how much better `system` is than `other` on the same questions, with its 95 % interval.

        Returns:
            mean(system) - mean(other), positive where `system` is better.

        Raises:
            InvalidSetting: A system or metric of another name than the report holds.
        """
        for name in (system, other):
            if name not in self.systems:
                raise InvalidSetting(f"no system {name!r} in this report; {nearest(name, self.systems)}")
        known = self.systems[system].values
        if metric not in known:
            raise InvalidSetting(f"no metric {metric!r} in this report; {nearest(metric, known)}")
        return paired_difference(known[metric], self.systems[other].values[metric], seed=self.seed)

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain JSON types: figures in 0-1 rounded to six decimals, milliseconds to four."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "questions": self.questions,
            "passages": self.passages,
            "command": self.command,
            "versions": self.versions,
            "systems": {name: self._system_json(name) for name in self.systems},
        }

    def to_markdown(self) -> str:
        """Write the table of systems, the table of stages, and how the figures came about."""
        return (
            "\n\n".join(
                [
                    f"# Retrieval on `{self.dataset}`, split `{self.split}`",
                    f"{self.questions:,} questions over {self.passages:,} passages, means with 95 % intervals.",
                    self._quality_table(),
                    "Milliseconds a question by stage, median / 95th percentile:",
                    self._latency_table(),
                    self._notes(),
                ]
            )
            + "\n"
        )

    def write_json(self, path: str | Path) -> None:
        """Write `to_json_dict` as UTF-8, whole or not at all."""
        write_json_file(path, self.to_json_dict())

    def write_markdown(self, path: str | Path) -> None:
        """Write `to_markdown` as UTF-8, whole or not at all."""
        write_text_file(path, self.to_markdown())

    def _system_json(self, name: str) -> dict[str, Any]:
        result = self.systems[name]
        figures: dict[str, Any] = {
            key: {end: rounded_or_none(number) for end, number in interval._asdict().items()}
            for key, interval in self.intervals[name].items()
        }
        latency = {
            stage: {percentile: round(spent, 4) for percentile, spent in spread.items()}
            for stage, spread in result.latency_ms.items()
        }
        return {**figures, "candidates": result.candidates, "latency_ms": latency}

    def _quality_table(self) -> str:
        header = [
            "system",
            *(METRIC_TITLES[key] for key in METRICS),
            "candidate recall",
            "candidates",
            "p50 ms",
            "p95 ms",
        ]
        rows = []
        for name, result in self.systems.items():
            figures = [interval_text(interval) for interval in self.intervals[name].values()]
            total = result.latency_ms["total"]
            spent = [milliseconds_text(total["p50"]), milliseconds_text(total["p95"])]
            rows.append([name, *figures, str(result.candidates), *spent])
        return markdown_table(header, rows)

    def _latency_table(self) -> str:
        rows = []
        for name, result in self.systems.items():
            spread = {
                stage: f"{milliseconds_text(spent['p50'])} / {milliseconds_text(spent['p95'])}"
                for stage, spent in result.latency_ms.items()
            }
            rows.append([name, *(spread.get(stage, "") for stage in STAGES)])
        return markdown_table(["system", *STAGES], rows)

    def _notes(self) -> str:
        notes = [
            "- A hit is a result whose text equals a relevant passage's; equal scores are ranked in document order.",
            "- Candidate recall is the share of questions with a relevant passage anywhere among the candidates before "
            "reranking. It bounds what a reranker can reach and is no HitRate@10.",
            "- Stages are timed one question at a time, the systems taking turns.",
        ]
        if self.command:
            notes.append(f"- Command: `{self.command}`")
        notes.append(f"- Versions: {versions_text(self.versions)}")
        return "\n".join(notes)


def installed_versions() -> dict[str, str | int | None]:
    """Name the versions that a figure depends on, without importing the libraries.

    Returns:
        ``python`` and each library by its distribution's name, None where it is not installed, and ``cpu_count``.
    """
    found: dict[str, str | int | None] = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = None
    found["cpu_count"] = os.cpu_count()
    return found


def share_text(value: float) -> str:
    """Write a share or a correlation with three decimals and no leading zero.

    >>> share_text(0.8917), share_text(1.0), share_text(-0.25), share_text(float("nan"))
    ('.892', '1.000', '-.250', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    text = f"{round(value, 3) + 0.0:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def interval_text(interval: Interval) -> str:
    """Write a value with its interval.

    >>> interval_text(Interval(0.892, 0.884, 0.9))
    '.892 [.884, .900]'
    """
    if math.isnan(interval.value):
        return "undefined"
    return f"{share_text(interval.value)} [{share_text(interval.low)}, {share_text(interval.high)}]"


def milliseconds_text(milliseconds: float) -> str:
    """Write milliseconds with as many digits as mean something.

    >>> milliseconds_text(0.1234), milliseconds_text(12.34), milliseconds_text(1103.4)
    ('0.12', '12.3', '1,103')
    """
    decimals = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:,.{decimals}f}"


def rounded_or_none(value: float) -> float | None:
    """Round to six decimals for JSON, which has no NaN: that becomes null."""
    return None if math.isnan(value) else round(value, 6)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table whose first column is text and whose others are figures."""
    lines = [_markdown_row(header), _markdown_row(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join([*lines, *(_markdown_row(row) for row in rows)])


def versions_text(versions: dict[str, str | int | None]) -> str:
    """List versions on one line, leaving out what is not installed."""
    return ", ".join(f"{name} {found}" for name, found in versions.items() if found is not None)


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
