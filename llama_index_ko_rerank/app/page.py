"""The page in gradio: what stands where, and what happens when something is pressed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from html import escape
from typing import Any

import gradio as gr
from fastapi import FastAPI

from llama_index_ko_rerank.app.chat_service import LONGEST_QUESTION, ChatService, Turn, ViewState
from llama_index_ko_rerank.app.components import SearchOptions
from llama_index_ko_rerank.app.render_answer import answer_html, welcome_html
from llama_index_ko_rerank.app.render_sources import sources_html
from llama_index_ko_rerank.app.strings_ko import LEGS, RERANKERS, SOURCE_COUNTS

_FONTS = ("Pretendard Variable", "Pretendard", "NanumGothic", "Noto Sans KR", "system-ui", "sans-serif")
_MONO = ("ui-monospace", "D2Coding", "NanumGothicCoding", "monospace")
_FORGET_S = 3600
_MOST_TURNS = 10


def mount_page(app: FastAPI, answerer: ChatService, *, host: str, port: int) -> None:
    """Put the page at the root of an app, with nothing of gradio's that sends or keeps what was asked."""
    gr.mount_gradio_app(
        app,
        build_page(answerer),
        path="/",
        server_name=host,
        server_port=port,
        footer_links=[],
        run_history=False,  # it would keep questions and answers in the browser
        show_error=False,
        max_file_size=1,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(primary_hue="teal", neutral_hue="slate", font=_FONTS, font_mono=_MONO),
    )


def build_page(answerer: ChatService) -> gr.Blocks:
    """Lay the page out over an answerer.

    Every browser tab has a session of its own, in which its conversation is kept, so that a question can go on from the
    one before it and a switch can ask the last one again, and which is forgotten an hour after it was last used.
    """
    parts, usual = answerer.parts, answerer.parts.usual
    with gr.Blocks(title="ko-rerank · 문서에 묻기", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(_head(answerer), elem_id="masthead", js_on_load=None, apply_default_css=False)
        conversation = gr.State((), time_to_live=_FORGET_S)
        # Said again where the panel stays: gradio makes a component anew for each `gr.skip()`, and keeps them all.
        last_panel = gr.State("", time_to_live=_FORGET_S)
        with gr.Row(elem_id="ask-row"):
            question = gr.Textbox(
                label="질문",
                placeholder="문서에 대해 무엇이든 물어보세요",
                lines=1,
                max_lines=4,
                max_length=LONGEST_QUESTION,
                autofocus=True,
                elem_id="question",
                scale=1,
            )
            ask = gr.Button("묻기", variant="primary", elem_id="ask", scale=0)
            clear = gr.Button("지우기", elem_id="clear", scale=0)
        with gr.Row(elem_id="switches"):
            legs = gr.Radio(
                [(label, name) for name, label in LEGS.items()], value=usual.legs, label="찾는 법", elem_id="legs"
            )
            kinds = [(label, name) for name, label in RERANKERS.items() if name in ("none", *parts.rerankers)]
            reranker = gr.Radio(kinds, value=usual.reranker, label="재순위", elem_id="reranker")
            sources = gr.Radio(list(SOURCE_COUNTS), value=usual.sources, label="출처 수", elem_id="count")
        with gr.Row(elem_id="results"):
            answer = gr.HTML(welcome_html(parts), elem_id="answer", js_on_load=None, apply_default_css=False)
            panel = gr.HTML("", elem_id="panel", js_on_load=None, apply_default_css=False)

        async def answered(
            text: str, legs: str, reranker: str, sources: int, turns: tuple[Turn, ...], panel_html: str
        ) -> AsyncGenerator[tuple[Any, ...], None]:
            switches = SearchOptions(legs, reranker, sources)  # type: ignore[arg-type]  # it checks them
            shown: ViewState | None = None
            async for snapshot in answerer.ask(text, switches, turns):
                if _changes_panel(snapshot, shown):
                    panel_html = sources_html(snapshot)
                ended = snapshot.stage == "done"
                kept = (*turns, Turn(snapshot.question, snapshot.answer))[-_MOST_TURNS:] if ended else gr.skip()
                yield answer_html(snapshot, turns), panel_html, kept, panel_html
                shown = snapshot

        async def again(
            legs: str, reranker: str, sources: int, turns: tuple[Turn, ...], panel_html: str
        ) -> AsyncGenerator[tuple[Any, ...], None]:
            if not turns:
                yield gr.skip(), gr.skip(), gr.skip(), gr.skip()
                return
            async for step in answered(turns[-1].question, legs, reranker, sources, turns[:-1], panel_html):
                yield step

        settings, shown_in = [legs, reranker, sources], [answer, panel, conversation, last_panel]
        quiet: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
        asking = gr.on(
            [question.submit, ask.click],
            answered,
            [question, *settings, conversation, last_panel],
            shown_in,
            api_name="ask",
            **quiet,
        )
        switching = gr.on(
            [legs.input, reranker.input, sources.input],
            again,
            [*settings, conversation, last_panel],
            shown_in,
            trigger_mode="always_last",
            api_visibility="private",
            **quiet,
        )
        clear.click(
            lambda: ("", welcome_html(parts), "", (), ""),
            None,
            [question, *shown_in],
            cancels=[asking, switching],
            api_visibility="private",
            **quiet,
        )
    page.queue(max_size=None, default_concurrency_limit=None)
    return page


def _changes_panel(shown: ViewState, before: ViewState | None) -> bool:
    """Leave the last sources in place until there are new ones, so that the page does not jump."""
    if shown.sources:
        return before is None or before.sources != shown.sources
    return shown.stage in ("done", "refused")


def _head(answerer: ChatService) -> str:
    parts = answerer.parts
    return (
        '<header class="masthead"><div><h1>문서에 묻기</h1>'
        f"<p>{escape(parts.name)} · 문서 {parts.documents:,}개 · 글 조각 {parts.passages:,}개</p></div>"
        '<button type="button" class="tool" data-action="theme" aria-label="밝은 화면과 어두운 화면 바꾸기">'
        '<span class="to-dark">어둡게</span><span class="to-light">밝게</span></button></header>'
    )
