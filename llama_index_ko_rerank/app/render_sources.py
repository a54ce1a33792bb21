"""The sources panel as HTML; every text of a document is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llama_index_ko_rerank.app.chat_service import ViewState
from llama_index_ko_rerank.app.highlight import Segment, excerpt_span, segments
from llama_index_ko_rerank.app.source_view import LegView, MatchedWords, Outranked, SourceView
from llama_index_ko_rerank.app.strings_ko import LEG_SCORES

_LEG_ORDER = list(LEG_SCORES)


def sources_html(shown: ViewState) -> str:
    """Show each source with its ranks before and after reranking, its scores, its words and its best sentence."""
    if not shown.sources:
        return ""
    cards = "".join(source_html(source) for source in shown.sources)
    return (
        f'<section class="sources"><h2>출처 <small>{len(shown.sources)}개</small></h2>'
        f"{cards}{_outranked(shown.outranked)}"
        '<p class="legend"><mark class="word">맞은 낱말</mark> <span class="best">가장 가까운 문장</span> '
        "막대는 후보 가운데 가장 높은 점수를 1로 본 길이입니다.</p></section>"
    )


def source_html(source: SourceView) -> str:
    """Show one source as a card."""
    place = f"source-{source.number}"
    return (
        f'<article class="source" id="{place}" tabindex="-1" aria-labelledby="{place}-title">'
        f'<header><span class="number">{source.number}</span><h3 id="{place}-title">{escape(source.title)}</h3>'
        f"{_move(source)}</header>{_passage(source)}{_words(source.words)}{_scores(source)}</article>"
    )


def _move(source: SourceView) -> str:
    if source.rerank_score is None:
        return f'<span class="move same" aria-label="{source.number}위">{source.number}위</span>'
    before, after = source.rank_before, source.number
    if before == after:
        return f'<span class="move same" aria-label="재순위 전에도 {after}위">{after}위 그대로</span>'
    kind, sign = ("up", "▲") if after < before else ("down", "▼")
    return (
        f'<span class="move {kind}" aria-label="재순위 전 {before}위, 지금 {after}위">'
        f'{before} → {after} <span aria-hidden="true">{sign}</span></span>'
    )


def _passage(source: SourceView) -> str:
    text, marks = source.text, source.marks
    start, end = excerpt_span(text, marks.best or source.window)
    before, after = "… " if start else "", " …" if end < len(text) else ""
    excerpt = f'<p class="passage">{before}{_marked(segments(text, marks, (start, end)))}{after}</p>'
    if (start, end) == (0, len(text)):
        return excerpt
    window = ""
    if source.window:
        first, last = source.window
        window = f'<p class="window">교차 인코더가 가장 높게 본 곳: {first + 1:,}~{last:,}번째 글자</p>'
    whole = f'<p class="passage">{_marked(segments(text, marks))}</p>'
    return f"{excerpt}<details><summary>전체 글 보기 ({len(text):,}자)</summary>{window}{whole}</details>"


def _marked(stretches: Sequence[Segment]) -> str:
    """Mark words, and put what belongs to the best sentence into one element."""
    parts: list[str] = []
    in_best = False
    for stretch in stretches:
        if stretch.best != in_best:
            parts.append('<span class="best">' if stretch.best else "</span>")
            in_best = stretch.best
        text = escape(stretch.text)
        parts.append(f'<mark class="word">{text}</mark>' if stretch.matched else text)
    return "".join([*parts, "</span>" if in_best else ""])


def _words(words: MatchedWords) -> str:
    if not (words.found or words.missing or words.bigrams):
        return ""
    found = "".join(f'<li class="found">{escape(word)}</li>' for word in words.found)
    missing = "".join(f'<li class="missing">{escape(word)}</li>' for word in words.missing)
    pairs = f'<li class="pairs">글자쌍 {words.bigrams_found}/{words.bigrams}</li>' if words.bigrams else ""
    return f'<ul class="words" aria-label="맞은 낱말과 없는 낱말">{found}{missing}{pairs}</ul>'


def _scores(source: SourceView) -> str:
    rows = []
    if source.rerank_score is not None:
        rows.append(_score("재순위", "rerank", source.rerank_score, source.rerank_share, f"{source.number}위"))
    rows.append(_score("찾기", "retrieve", source.retrieval_score, source.retrieval_share, f"{source.rank_before}위"))
    rows += [
        _score(LEG_SCORES.get(leg.name, leg.name), f"leg {leg.name}", leg.score, leg.share, f"{leg.rank}위")
        for leg in sorted(source.legs, key=_place)
    ]
    return f'<dl class="scores">{"".join(rows)}</dl>'


def _place(leg: LegView) -> int:
    """Put the legs in one order on every card; those of other retrievers come last."""
    return _LEG_ORDER.index(leg.name) if leg.name in _LEG_ORDER else len(_LEG_ORDER)


def _score(name: str, kind: str, score: float, share: float, rank: str) -> str:
    return (
        f'<div class="{escape(kind)}"><dt>{escape(name)}</dt><dd><span class="bar" aria-hidden="true">'
        f'<i style="width:{100 * share:.0f}%"></i></span><span class="value">{score:.3f}</span>'
        f'<span class="rank">{rank}</span></dd></div>'
    )


def _outranked(pushed: Sequence[Outranked]) -> str:
    if not pushed:
        return ""
    rows = "".join(
        f'<li><span class="move down">{one.rank_before} → {one.rank_after or "밖"}</span> {escape(one.title)}</li>'
        for one in pushed
    )
    return f'<div class="outranked"><h3>재순위로 밀려난 글</h3><ul>{rows}</ul></div>'
