"""The book's two tables with its figures beside ours, and what sets the two apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.evaluate.correlation import Correlation, CorrelationReport
from llama_index_ko_rerank.evaluate.report import (
    CANDIDATE_RECALL,
    EvaluationReport,
    interval_text,
    markdown_table,
    share_text,
    versions_text,
)
from llama_index_ko_rerank.files import write_json_file, write_text_file
from llama_index_ko_rerank.train.recipes.recipe import SCRATCH
from llama_index_ko_rerank.train.reproduce.models import BookSettings

MRC, STS = "klue-mrc", "klue-sts"
BI_ENCODER, CROSS_ENCODER = "klue/roberta-base", "klue/roberta-small"
RECALL_AT, HITS_AT = 30, 10

STS_UNTRAINED, STS_TRAINED = "STS, untrained", "STS, trained"
MRC_BEFORE, MRC_MNR = "MRC, before", "MRC, MNR"
CROSS_UNTRAINED, CROSS_TRAINED = "cross-encoder, untrained", "cross-encoder, trained"
BASE, FINE_TUNED, RERANKED = "search, base", "search, fine-tuned", "search, fine-tuned + rerank"

SPEARMAN: Mapping[str, float] = {
    STS_UNTRAINED: 0.3646,
    STS_TRAINED: 0.8966,
    MRC_BEFORE: 0.8152,
    MRC_MNR: 0.8601,
    CROSS_UNTRAINED: 0.0033,
    CROSS_TRAINED: 0.8650,
}
"""The first table: correlation of scores and labels, by step."""


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A row of the second table.

    Attributes:
        share: What it calls the HitRate@10.
        seconds: For 1,000 questions; on a T4 GPU where candidates are reranked.
    """

    share: float
    seconds: float


SEARCH: Mapping[str, PublishedResult] = {
    BASE: PublishedResult(0.88, 13.2),
    FINE_TUNED: PublishedResult(0.946, 14.3),
    RERANKED: PublishedResult(0.973, 1103.0),
}
"""The second table: search over 1,000 rows of KLUE MRC's validation split, by system."""

TRAPS = (
    f"The published figure after reranking, {SEARCH[RERANKED].share}, is the recall of the first {RECALL_AT}: the code "
    f"returns all {RECALL_AT} candidates and never cuts them, so that no order of them could change the figure. Here "
    f"the reranked list is cut at {HITS_AT}, and both figures are reported.",
    "The published code of the fine-tuned search names the base model again. Here the folder that training wrote is "
    "loaded; the table names it.",
    "Contexts repeat in KLUE MRC, since several questions share one article. Here hits are judged by text and "
    "not by row, and no text stands twice in a batch, so that no question has its own context as a negative.",
)
"""Where the published code goes wrong, and what is done here."""


@dataclass(frozen=True, eq=False)
class BookReport:
    """The outcome of `reproduce_book`.

    Attributes:
        settings: Data, bases, rows and seed.
        correlations: The first table, by step.
        search: The second table, by system.
        shared_contexts: Contexts of the measured questions that are also learnt from.
        learnt: Rows that were learnt from, by data set.
        folders: The folders of the trained models that were searched with, by system.
        static: Whether the embedding model is a static one.
    """

    settings: BookSettings
    correlations: Mapping[str, Correlation]
    search: EvaluationReport
    shared_contexts: int
    learnt: Mapping[str, int]
    folders: Mapping[str, Path]
    static: bool

    @property
    def departures(self) -> list[str]:
        """Departures from the book, a sentence each; the first ones make figures incomparable."""
        settings, sentences = self.settings, []
        for spec, book in ((settings.mrc, MRC), (settings.sts, STS)):
            if spec.partition(":")[0] != book:
                sentences.append(f"Other data: `{spec}` instead of {book}.")
        for base, book in (
            (settings.bi_encoder_base, BI_ENCODER),
            (settings.cross_encoder_base, CROSS_ENCODER),
        ):
            if base != book:
                sentences.append(f"Another model: `{base}` instead of {book}.")
        if settings.rows is not None:
            sentences.append(f"At most {settings.rows:,} rows of each data set were learnt from, and searched in.")
        return sentences

    @property
    def notes(self) -> list[str]:
        """Notes for the reader, a sentence each."""
        settings = self.settings
        sentences = [
            f"Learnt from: {self.learnt['STS']:,} sentence pairs of `{settings.sts}` and {self.learnt['MRC']:,} "
            f"questions of `{settings.mrc}`; a tenth of either only chose the best step.",
            f"Searched: {self.search.questions:,} questions drawn with seed {settings.seed} from those that have an "
            f"answer, and their {self.search.passages:,} distinct contexts. The book also draws questions that have "
            "none.",
            "The search base is the STS model, which is what the MNR training starts from.",
        ]
        if settings.bi_encoder_base == SCRATCH:
            sentences.append("An embedding model from nothing has the vocabulary of the sentence pairs alone.")
        if self.static:
            sentences.append("A static embedding learns at the rates of the recipes for models from nothing.")
        if settings.cross_encoder_base == SCRATCH:
            sentences.append(
                "A cross-encoder from nothing starts as a matcher of equal tokens, so that its first row is not chance."
            )
        elif settings.cross_encoder_base != CROSS_ENCODER:
            sentences.append("The first row of the cross-encoder is its base as it is, which may have learnt before.")
        if self.shared_contexts:
            sentences.append(f"{self.shared_contexts:,} contexts of the measured questions were also learnt from.")
        return sentences

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain JSON types: settings, published figures and ours, departures, notes and traps."""
        ours = CorrelationReport(self.correlations, self.search.command, self.search.versions).to_json_dict()
        search = self.search.to_json_dict()
        return {
            "command": self.search.command,
            "versions": self.search.versions,
            "settings": asdict(self.settings),
            "comparable": not self.departures,
            "departures": self.departures,
            "notes": self.notes,
            "traps": list(TRAPS),
            "correlations": {step: {"published": SPEARMAN[step], **figures} for step, figures in ours["rows"].items()},
            "search": {
                **{key: search[key] for key in ("dataset", "split", "questions", "passages")},
                "systems": {
                    name: {
                        "published": asdict(SEARCH[name]),
                        "seconds": round(self._seconds(name), 3),
                        "model": str(self.folders[name]) if name in self.folders else None,
                        **figures,
                    }
                    for name, figures in search["systems"].items()
                },
            },
        }

    def to_markdown(self) -> str:
        """Write both tables with what must be known of them."""
        parts = ["# The book's tables, reproduced"]
        if self.departures:
            lead = "**Figures of one row are not comparable**, since this is not what the book measured:"
            parts += [lead, _listed(self.departures)]
        return (
            "\n\n".join(
                [
                    *parts,
                    "## Scores against labels",
                    "Spearman's rank correlation, with the 95 % bootstrap interval of ours.",
                    self._correlation_table(),
                    "## Search",
                    self._search_table(),
                    f"Ours are HitRate@{HITS_AT} with 95 % intervals. Seconds are those of all questions, one by one.",
                    "## Three traps in the published code",
                    "\n".join(f"{number}. {trap}" for number, trap in enumerate(TRAPS, start=1)),
                    "## How",
                    _listed(self._how()),
                ]
            )
            + "\n"
        )

    def write(self, out: Path) -> None:
        """Write ``report.md`` and ``report.json``, each whole or not at all."""
        write_json_file(out / "report.json", self.to_json_dict())
        write_text_file(out / "report.md", self.to_markdown())

    def _seconds(self, system: str) -> float:
        return float(self.search.systems[system].stage_ms["total"].sum()) / 1000

    def _correlation_table(self) -> str:
        rows = [
            (
                step,
                f"`{row.dataset}` {row.split}",
                f"{row.pairs:,}",
                f"{SPEARMAN[step]:.4f}",
                interval_text(row.spearman),
            )
            for step, row in self.correlations.items()
        ]
        return markdown_table(["step", "data", "pairs", "published", "ours"], rows)

    def _search_table(self) -> str:
        rows = []
        for name, intervals in self.search.intervals.items():
            published = SEARCH[name]
            share = f"{share_text(published.share)} (the recall of {RECALL_AT})" if name == RERANKED else ""
            rows.append(
                (
                    name,
                    share or share_text(published.share),
                    interval_text(intervals[f"hit@{HITS_AT}"]),
                    interval_text(intervals[CANDIDATE_RECALL]),
                    f"{published.seconds:,.1f}",
                    f"{self._seconds(name):,.1f}",
                )
            )
        header = ["system", "published", f"ours, HitRate@{HITS_AT}", f"ours, recall of the first {RECALL_AT}"]
        return markdown_table(
            [*header, "published s for 1,000", f"ours s for {self.search.questions:,}"],
            rows,
        )

    def _how(self) -> list[str]:
        loaded = [f"{name}: loaded from `{folder}`." for name, folder in self.folders.items()]
        command = [f"Command: `{self.search.command}`"] if self.search.command else []
        return [*self.notes, *loaded, *command, f"Versions: {versions_text(self.search.versions)}"]


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
