"""An evaluation report as a table that fits 80 columns."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from llama_index_ko_rerank.cli.console import output
from llama_index_ko_rerank.evaluate import EvaluationReport
from llama_index_ko_rerank.evaluate.formatting import milliseconds_text, share_text
from llama_index_ko_rerank.evaluate.significance import Interval

_COLUMNS = {
    "hit@1": "Hit@1",
    "hit@3": "Hit@3",
    "hit@10": "Hit@10",
    "mrr@10": "MRR@10",
    "ndcg@10": "nDCG@10",
    "candidate_recall": "recall",
}


def show_report(report: EvaluationReport) -> None:
    """Print one row a system: each measure with its 95 % interval under it, and the median milliseconds a question."""
    table = Table("system", *_COLUMNS.values(), "ms", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, result in report.systems.items():
        intervals = report.intervals[name]
        cells = [_cell(intervals[metric]) for metric in _COLUMNS]
        table.add_row(Text(name, style="bold"), *cells, milliseconds_text(result.latency_ms["total"]["p50"]))
    output.print(
        f"{report.dataset} {report.split}: {report.questions:,} questions over {report.passages:,} passages\n",
        style="bold",
        highlight=False,
    )
    output.print(table)
    output.print(
        "\nUnder each figure its 95 % interval. recall is that of the candidates before reranking, and no HitRate@10. "
        "ms is the median a question.",
        style="dim",
        highlight=False,
    )


def _cell(interval: Interval) -> Text:
    low, high = (f"{end:.2f}".removeprefix("0") for end in (interval.low, interval.high))
    return Text.assemble(share_text(interval.value), "\n", (f"{low}-{high}", "dim"))
