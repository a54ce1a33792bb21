"""The report of an adaptation: what was made, what was measured, what stayed, and what the figures cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llama_index_ko_rerank.adapt.questions import MadeQuestions
from llama_index_ko_rerank.adapt.settings import AdaptSettings
from llama_index_ko_rerank.adapt.sources import Collected, Sources
from llama_index_ko_rerank.evaluate.formatting import interval_text, markdown_table
from llama_index_ko_rerank.evaluate.significance import Interval

WARNING = (
    "Made questions are not users' questions. These were made from the passages themselves, and those that the words "
    "alone do not find, or find too easily, were dropped. The figures say how the steps compare on such questions; how "
    "your users fare, only their own questions can say: collect some, and run `ko-rerank evaluate` and `ko-rerank fit`."
)
_EMBEDDING_FIGURES = ("step", "nDCG@10")


def report_content(
    sources: Sources,
    collected: Collected,
    made: MadeQuestions,
    settings: AdaptSettings,
    *,
    llm: str | None,
    start: Mapping[str, Any],
    embedding: Mapping[str, Any],
    fit: Mapping[str, Any],
    measured: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """Put everything together in plain JSON types."""
    return {
        "format": 1,
        "warning": WARNING,
        "command": command,
        "settings": asdict(settings),
        "questions_made_by": llm or "rules",
        "documents": len(set(collected.documents)),
        "passages": len(collected.passages),
        "refused": [{"path": str(each.path), "reason": each.reason} for each in sources.refused],
        "questions": {part: asdict(counts) for part, counts in made.counts.items()},
        "near_copies_left_out": made.left_out,
        "start": dict(start),
        "embedding": dict(embedding),
        "fit": dict(fit),
        "measured": dict(measured),
    }


def report_markdown(content: Mapping[str, Any]) -> str:
    """Write a report for people."""
    embedding, measured = content["embedding"], content["measured"]
    parts = [
        "# A search adapted to documents",
        f"**{content['warning']}**",
        f"{content['documents']:,} documents, {content['passages']:,} passages, all of them in the index. Questions "
        f"made by: {content['questions_made_by']}. The three parts share no document, and no near copy of a passage "
        f"({content['near_copies_left_out']} passages are asked about in none).",
        _counts_table(content["questions"]),
        f"## The embedding alone, on held-out documents\n\nExact cosines over all passages, {embedding['questions']:,} "
        "made questions, means with 95 % intervals.",
        markdown_table(
            _EMBEDDING_FIGURES, [(name, interval_text(Interval(*row))) for name, row in embedding["figures"].items()]
        ),
        _gains(embedding["gains"], "nDCG@10"),
        f"Kept: {embedding['kept']}.",
        f"## The search, fitted on {content['fit']['questions']:,} questions of documents set aside",
        _fit_text(content["fit"]),
        f"## Every step, on held-out documents\n\n{measured['report']['questions']:,} made questions over "
        f"{measured['report']['passages']:,} passages, means with 95 % intervals.",
        _systems_table(measured["report"]["systems"]),
        _gains(measured["gains"], "MRR@10"),
        f"Command: `{content['command']}`" if content["command"] else "",
        _refused(content["refused"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counts_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    header = ("part", "passages", "questions made", "not found, dropped", "too easy, dropped", "kept")
    fields = ("passages", "made", "not_found", "too_easy", "kept")
    return markdown_table(header, [(part, *(f"{counts[name]:,}" for name in fields)) for part, counts in parts.items()])


def _systems_table(systems: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    metrics = {"hit@1": "HitRate@1", "hit@10": "HitRate@10", "mrr@10": "MRR@10", "ndcg@10": "nDCG@10"}
    rows = [(name, *(interval_text(Interval(**figures[m])) for m in metrics)) for name, figures in systems.items()]
    return markdown_table(("step", *metrics.values()), rows)


def _fit_text(fit: Mapping[str, Any]) -> str:
    if not fit["gains"]:
        return "Too few questions to fit on: weights and ranker are those that ship."
    weights = ", ".join(f"{leg} {share:.2f}" for leg, share in (fit["weights"] or {}).items())
    reorders = "the cross-encoder" if fit["uses_cross_encoder"] else fit["ranker"] or "nothing"
    return f"Weights: {weights}. Reordered by: {reorders}.\n\n" + _gains(fit["gains"], "MRR@10, by cross-validation")


def _gains(gains: Mapping[str, Sequence[float]], metric: str) -> str:
    lines = [f"- {name}: {value:+.3f} [{low:+.3f}, {high:+.3f}] {metric}" for name, (value, low, high) in gains.items()]
    return "\n".join(lines)


def _refused(refused: Sequence[Mapping[str, str]]) -> str:
    lines = [f"- {each['path'].encode('utf-8', 'backslashreplace').decode()} {each['reason']}" for each in refused]
    return "\n".join(["## Not read", "", *lines]) if lines else ""
