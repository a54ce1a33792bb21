"""The answer and the timings as HTML; every text of a person, a document or a model is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from llama_index_ko_rerank.answer.citation_guard import without_citations
from llama_index_ko_rerank.answer.prompts import EXTRACTS_LEAD, SOURCES_LEAD
from llama_index_ko_rerank.app.chat_service import StageTimes, Turn, ViewState
from llama_index_ko_rerank.app.components import SearchComponents
from llama_index_ko_rerank.app.strings_ko import KINDS, LEGS, RERANKERS, SEARCHING, STAGES, WRITING

_CITATION = re.compile(r"\[(\d{1,3})\]")
_LEADS = frozenset([EXTRACTS_LEAD, SOURCES_LEAD])


def answer_html(shown: ViewState, earlier: Sequence[Turn] = ()) -> str:
    """Show the question, the answer so far with its citations as links, what each stage took, and earlier turns."""
    notice = f'<p class="notice" role="alert">{escape(shown.notice)}</p>' if shown.notice else ""
    if shown.stage == "refused":
        return f'<section class="answer refused">{notice}</section>{_earlier(earlier)}'
    waiting = SEARCHING if shown.stage == "searching" else WRITING if not shown.answer else ""
    status = f'<p class="waiting">{waiting}</p>' if waiting else ""
    return (
        f'<section class="answer {shown.stage}" data-stage="{shown.stage}">'
        f'<h2 class="asked">{escape(shown.question)}</h2>{_searched(shown)}{notice}{status}'
        f'<div class="answer-text">{answer_body(shown.answer, shown.citable)}</div>'
        f"{_foot(shown)}</section>{_earlier(earlier)}"
    )


def answer_body(answer: str, citable: int) -> str:
    """Turn an answer into paragraphs and lists, and its citations into links to the sources.

    Nothing else of what it holds is markup. A number that is no source is shown as such and is no link.

    Args:
        answer: The text of an extractive or generated answer.
        citable: How many sources there are.

    >>> answer_body("- 하루 <b> [1]", 1)
    '<ul><li>하루 &lt;b&gt; <a class="cite" href="#source-1" aria-label="출처 1번으로">1</a></li></ul>'
    """
    blocks: list[str] = []
    items: list[str] = []
    for line in [*answer.splitlines(), ""]:
        text = line.strip()
        if text.startswith("- "):
            items.append(f"<li>{_cited(text[2:], citable)}</li>")
            continue
        if items:
            blocks.append(f"<ul>{''.join(items)}</ul>")
            items = []
        if text:
            blocks.append(f"<p{_paragraph_class(text)}>{_cited(text, citable)}</p>")
    return "".join(blocks)


def times_html(times: StageTimes) -> str:
    """Show what each stage took as figures and as a bar, with those that have not ended left out."""
    taken = {
        name: duration_ms
        for name, duration_ms in (
            ("retrieve", times.retrieve_ms),
            ("rerank", times.rerank_ms),
            ("answer", times.answer_ms),
        )
        if duration_ms is not None
    }
    if not taken:
        return ""
    whole = sum(taken.values()) or 1.0
    bar = "".join(
        f'<i class="{name}" style="width:{100 * duration_ms / whole:.1f}%"></i>' for name, duration_ms in taken.items()
    )
    rows = "".join(
        f'<li class="{name}"><span>{STAGES[name]}</span> <b>{_duration(duration_ms)}</b></li>'
        for name, duration_ms in taken.items()
    )
    total = f'<li class="total"><span>모두</span> <b>{_duration(times.total_ms)}</b></li>' if times.total_ms else ""
    waited = (
        f'<li class="waited"><span>차례 기다림</span> <b>{_duration(times.waited_ms)}</b></li>'
        if times.waited_ms and times.waited_ms >= 50
        else ""
    )
    return (
        f'<div class="times"><div class="stages" aria-hidden="true">{bar}</div>'
        f'<ul aria-label="걸린 시간">{rows}{waited}{total}</ul></div>'
    )


def welcome_html(parts: SearchComponents) -> str:
    """Show what may be asked, before anything was."""
    titles = "".join(f"<li>{escape(title)}</li>" for title in parts.titles)
    return (
        '<section class="answer welcome"><h2>무엇이 궁금하세요?</h2>'
        "<p>문서에서 답을 찾아 그대로 옮기고, 왜 그 글을 골랐는지 보여 드립니다.</p>"
        f'<p class="lead">이런 문서가 있습니다</p><ul class="titles">{titles}</ul></section>'
    )


def _searched(shown: ViewState) -> str:
    if shown.searched in ("", shown.question):
        return ""
    return f'<p class="searched">앞의 질문에 이어 찾은 말: <b>{escape(shown.searched)}</b></p>'


def _earlier(turns: Sequence[Turn]) -> str:
    if not turns:
        return ""
    said = "".join(
        f"<dt>{escape(turn.question)}</dt><dd>{answer_body(without_citations(turn.answer), 0)}</dd>"
        for turn in reversed(turns)
    )
    return f'<details class="earlier"><summary>앞서 물은 것 {len(turns)}개</summary><dl>{said}</dl></details>'


def _foot(shown: ViewState) -> str:
    kind = f'<span class="badge {shown.kind}">{KINDS[shown.kind]}</span>' if shown.kind in KINDS else ""
    how = f"{LEGS[shown.switches.legs]} 찾기 · 재순위 {RERANKERS[shown.switches.reranker]}"
    copy = '<button type="button" class="tool" data-action="copy">답 복사</button>' if shown.stage == "done" else ""
    return (
        f'<footer><div class="badges">{kind}<span class="badge quiet">{how}</span>{copy}</div>'
        f"{times_html(shown.times)}</footer>"
    )


def _paragraph_class(text: str) -> str:
    if text in _LEADS:
        return ' class="lead"'
    return ' class="cited"' if _CITATION.match(text) else ""


def _cited(text: str, citable: int) -> str:
    return _CITATION.sub(lambda found: _citation(int(found.group(1)), citable), escape(text))


def _citation(number: int, citable: int) -> str:
    if 1 <= number <= citable:
        return f'<a class="cite" href="#source-{number}" aria-label="출처 {number}번으로">{number}</a>'
    return f'<span class="uncited" title="주어지지 않은 출처 번호">[{number}]</span>'


def _duration(duration_ms: float) -> str:
    return f"{duration_ms / 1000:.1f}초" if duration_ms >= 1000 else f"{duration_ms:.0f} ms"
