"""One picture of a report: a panel a measure, a bar a system, its interval and its value."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llama_index_ko_rerank.errors import InvalidSetting, nearest
from llama_index_ko_rerank.evaluate.metrics import METRICS
from llama_index_ko_rerank.evaluate.report import METRIC_TITLES, EvaluationReport, share_text
from llama_index_ko_rerank.evaluate.significance import Interval
from llama_index_ko_rerank.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

# Paul Tol's "muted" scheme: distinct for colour-blind readers and in print.
_COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499")
_INK, _SOFT, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_LATIN_FONT = "DejaVu Sans"
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_HANGUL_FONTS = (
    "Pretendard",
    "Noto Sans KR",
    "Noto Sans CJK KR",
    "Noto Sans CJK JP",
    "NanumGothic",
    "NanumBarunGothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "Malgun Gothic",
    "UnDotum",
    "Baekmuk Gulim",
)


def plot_comparison(
    report: EvaluationReport, path: str | Path, *, metrics: Sequence[str] = ("hit@1", "mrr@10", "ndcg@10")
) -> None:
    """Draw a report's systems side by side and write the picture as PNG.

    Each measure has a panel, each system a bar of its own colour in every panel, with its value and its 95 % interval.
    Bars start at 0. It needs no display, and matplotlib's global settings stay as they are.

    Args:
        report: What to draw.
        path: Where the PNG goes; a folder that is missing is made.
        metrics: Names of `METRICS`, a panel each.

    Raises:
        MissingExtra: matplotlib is not installed.
        InvalidSetting: `metrics` is empty or names an unknown measure.
    """
    if not metrics:
        raise InvalidSetting(f"no metrics to draw; give at least one of {', '.join(METRICS)}")
    for metric in metrics:
        if metric not in METRICS:
            raise InvalidSetting(f"cannot draw {metric!r}; {nearest(metric, METRICS)}")
    figure_class = require("plot", "matplotlib.figure", needed_for="a plot").Figure
    fonts = _fonts_for([*report.systems, report.dataset])
    figure = figure_class(figsize=(1.6 + 2.9 * len(metrics), 1.45 + 0.42 * len(report.systems)), facecolor="white")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        _draw_panel(panel, report, metric, fonts)
    _write_headings(figure, report, fonts)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="png", dpi=200, bbox_inches="tight", pad_inches=0.2)


def _draw_panel(panel: Axes, report: EvaluationReport, metric: str, fonts: list[str]) -> None:
    names = list(report.systems)
    for row, name in enumerate(names):
        _draw_bar(panel, row, report.intervals[name][metric])
    panel.set_yticks(range(len(names)), names, fontfamily=fonts, fontsize=10, color=_INK, parse_math=False)
    panel.set_ylim(len(names) - 0.45, -0.55)
    panel.set_xlim(0.0, 1.19)
    panel.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".50", ".75", "1"], fontsize=8.5, color=_SOFT)
    panel.set_title(METRIC_TITLES[metric], loc="left", fontsize=11, fontweight="bold", color=_INK, pad=7)
    panel.grid(visible=True, axis="x", color=_GRID, linewidth=0.8, zorder=0)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    panel.spines["left"].set_color(_SOFT)


def _draw_bar(panel: Axes, row: int, interval: Interval) -> None:
    """Draw a bar, its whiskers in ink with a white edge that shows on any colour, and its value right of both."""
    panel.barh(row, interval.value, height=0.62, color=_COLOURS[row % len(_COLOURS)], zorder=2)
    lengths = [[max(0.0, interval.value - interval.low)], [max(0.0, interval.high - interval.value)]]
    for colour, width, order in (("white", 2.8, 3), (_INK, 1.2, 4)):
        panel.errorbar(
            interval.value,
            row,
            xerr=lengths,
            color=colour,
            elinewidth=width,
            capsize=3.0,
            capthick=width,
            zorder=order,
        )
    panel.annotate(
        share_text(interval.value),
        (max(interval.value, interval.high), row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9.5,
        color=_INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        zorder=5,
    )


def _write_headings(figure: Figure, report: EvaluationReport, fonts: list[str]) -> None:
    """Write the title and the line of small print, a fixed distance from the panels at any height."""
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.16, right=0.99, wspace=0.09, top=1 - 0.78 / height, bottom=0.32 / height)
    figure.text(
        0.16,
        1 - 0.1 / height,
        f"{report.dataset}, split {report.split}",
        fontfamily=fonts,
        parse_math=False,
        fontsize=12.5,
        fontweight="bold",
        color=_INK,
        va="top",
    )
    small_print = (
        f"{report.questions:,} questions over {report.passages:,} passages; "
        "a bar is the mean, its whiskers the 95 % bootstrap interval"
    )
    figure.text(0.16, -0.02 / height, small_print, fontsize=8.5, color=_SOFT, va="top")


def _fonts_for(texts: Iterable[str]) -> list[str]:
    """Choose fonts that hold every character, the Latin one first so that figures look the same everywhere."""
    if not any(_HANGUL.search(text) for text in texts):
        return [_LATIN_FONT]
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    found = next((name for name in _HANGUL_FONTS if name in installed), None)
    if found is None:
        logger.warning(
            "no Hangul font was found, so Hangul names are drawn as boxes; install one (such as fonts-nanum or "
            "fonts-noto-cjk) or name the systems in Latin letters"
        )
        return [_LATIN_FONT]
    return [_LATIN_FONT, found]
