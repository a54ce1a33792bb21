"""The page in a real browser: Playwright drives the system's Chromium.

Where there is no Chromium the tests fail and say what to install; ``KO_RERANK_NO_BROWSER=1`` leaves them out.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time

import pytest
import uvicorn

from llama_index_ko_rerank.app.chat_service import ChatService
from llama_index_ko_rerank.app.components import open_components, warm_up
from llama_index_ko_rerank.app.server import build_server
from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.store import build_index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("KO_RERANK_NO_BROWSER") == "1", reason="KO_RERANK_NO_BROWSER=1"),
]
QUESTION = "섬으로 가는 배에 자전거를 실을 수 있나요?"
HOSTILE = (
    "해킹 시험용 깃발 문서이다. <script>document.title='실행됨'</script>"
    "<img src=x onerror=\"document.title='실행됨'\"> ${document.title='실행됨'} {{constructor}} "
    "<a href=\"javascript:document.title='실행됨'\">누르기</a> 깃발은 초록색이다."
)
DONE = '.answer[data-stage="done"]'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Serve the sample and one hostile document on a free port of this machine."""
    folder = tmp_path_factory.mktemp("chat") / "sample"
    nodes = dataset_nodes(load_dataset("sample", "validation"))
    hostile = nodes[0].model_copy(update={"id_": "hostile", "text": HOSTILE, "metadata": {"title": "<b>깃발</b>"}})
    build_index([*nodes, hostile], index_folder(folder), embed_model=KoreanEmbedding())
    write_settings(folder, CollectionSettings("ko-static"))
    parts = open_components(folder)
    warm_up(parts)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = build_server(ChatService(parts), port=port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until = time.monotonic() + 60
        while not server.started and time.monotonic() < until:
            time.sleep(0.05)
        assert server.started
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        server.force_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("the page is tested in a browser: apt-get install chromium (or set KO_RERANK_NO_BROWSER=1)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium, address):
    """Open tabs that note what goes wrong in them; at the end nothing may have."""
    contexts, wrong = [], []

    def opened(width=1280, height=900, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, locale="ko-KR")
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}") if _counts(request) else None)
        tab.on("request", lambda request: wrong.append(f"left: {request.url}") if _leaves(request, address) else None)
        tab.on("response", lambda reply: wrong.append(f"{reply.status}: {reply.url}") if reply.status >= 400 else None)
        tab.goto(address)
        tab.wait_for_selector("#answer .welcome")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _leaves(request, address):
    return not request.url.startswith((address, "data:", "blob:"))


def _counts(request):
    """A stream that the page itself closes when it has read it is no failure."""
    return "ERR_ABORTED" not in (request.failure or "")


def asks(tab, question):
    tab.fill("#question textarea", question)
    tab.keyboard.press("Enter")
    tab.wait_for_function(
        "asked => document.querySelector('.answer[data-stage=done] h2')?.textContent === asked", arg=question
    )


def titles(tab):
    return tab.eval_on_selector_all(".source h3", "found => found.map(one => one.textContent)")


def switched(tab, group, label):
    before = tab.inner_text(".badge.quiet")
    tab.click(f"#{group} label:has-text('{label}')")
    tab.wait_for_function(
        "before => document.querySelector('.answer[data-stage=done]') && "
        "document.querySelector('.badge.quiet').innerText !== before",
        arg=before,
    )


def test_a_question_is_answered_with_citations_that_lead_to_their_sources(open_tab):
    tab = open_tab()
    asks(tab, QUESTION)
    assert "접이식" in tab.inner_text(".answer-text")
    assert titles(tab)[0] == "다올섬 여객선 배편"
    assert tab.locator(".source mark.word", has_text="자전거").count() > 0
    assert "자전거" in tab.inner_text(".source .best >> nth=0")
    assert {"찾기", "재순위", "답하기", "모두"} <= set(tab.inner_text(".times").split())
    tab.locator("a.cite").first.click()
    assert tab.evaluate("document.activeElement.id") == "source-1"


def test_the_answer_grows_on_the_page_while_it_is_made(open_tab):
    tab = open_tab()
    tab.evaluate(
        """() => { window.stages = []; new MutationObserver(() => {
            const stage = document.querySelector('.answer')?.dataset.stage;
            if (stage && stage !== window.stages.at(-1)) window.stages.push(stage);
        }).observe(document.getElementById('answer'), {childList: true, subtree: true, attributes: true}); }"""
    )
    asks(tab, QUESTION)
    stages = tab.evaluate("window.stages")
    assert stages[-1] == "done"
    assert len(stages) > 1


def test_switching_the_reranker_off_changes_the_order_at_once(open_tab):
    tab = open_tab()
    asks(tab, "아플 때 며칠 쉴 수 있고 서류는 뭘 내?")
    switched(tab, "reranker", "교차 인코더")
    reranked = titles(tab)
    assert tab.locator(".move.up").count() > 0
    switched(tab, "reranker", "끄기")
    assert titles(tab) != reranked
    assert tab.locator(".move.up, .move.down").count() == 0
    tab.click("#count label:has-text('10')")
    tab.wait_for_selector("#source-10")
    switched(tab, "legs", "뜻")
    assert tab.locator(".leg.dense").count() > 0
    assert tab.locator(".leg.lexical").count() == 0


def test_what_documents_and_questions_hold_is_shown_and_not_run(open_tab):
    tab = open_tab()
    question = "깃발 <script>document.title='실행됨'</script><img src=x onerror=\"document.title='실행됨'\"> 색은?"
    asks(tab, question)
    assert "<b>깃발</b>" in titles(tab)
    shown = tab.inner_text("#panel")
    assert "<img src=x onerror=" in shown
    assert "${document.title" in shown
    assert tab.locator("#answer script, #answer img, #panel script, #panel img, #panel a").count() == 0
    tab.wait_for_timeout(500)
    assert "실행됨" not in tab.title()


def test_markup_that_got_into_the_page_would_still_not_run(open_tab, address):
    policy = open_tab().request.get(address).headers["content-security-policy"]
    assert "script-src-attr 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src", 1)[1].split(";", 1)[0]
    assert "connect-src 'self'" in policy


def test_two_tabs_do_not_know_of_each_other(open_tab):
    first, second = open_tab(), open_tab()
    asks(first, QUESTION)
    asks(second, "병가는 며칠까지 쓸 수 있나요?")
    assert first.inner_text(".asked") == QUESTION
    switched(first, "reranker", "끄기")
    assert first.inner_text(".asked") == QUESTION
    assert "학습 랭커" in second.inner_text(".badge.quiet")
    assert second.locator(".earlier").count() == 0


def test_the_address_and_the_page_after_a_reload_hold_nothing_of_what_was_asked(open_tab, address):
    tab = open_tab()
    asks(tab, QUESTION)
    tab.locator("a.cite").first.click()
    assert tab.url.rstrip("/") == address
    tab.reload()
    tab.wait_for_selector("#answer .welcome")
    assert tab.url.rstrip("/") == address
    assert tab.input_value("#question textarea") == ""
    kept = tab.evaluate("JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})")
    assert "자전거" not in kept
    assert "indexedDB" in tab.evaluate("'indexedDB' in window ? 'indexedDB' : ''")
    assert tab.evaluate("indexedDB.databases().then(found => found.length)") == 0


def test_everything_can_be_done_with_the_keyboard(open_tab):
    tab = open_tab()
    tab.keyboard.press("/")
    tab.keyboard.type(QUESTION)
    tab.keyboard.press("Enter")
    tab.wait_for_selector(DONE)
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        here = tab.evaluate(
            "() => { const at = document.activeElement; "
            "return at.id || at.closest('fieldset')?.id || at.dataset?.action || at.className; }"
        )
        if here == "cite" and "cite" not in reached:
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.id").startswith("source-")
            tab.locator("a.cite").first.focus()
        reached.add(here)
    assert {"ask", "clear", "legs", "reranker", "count", "theme", "copy", "cite"} <= reached
    tab.focus("#reranker input[value=ranker]")
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_function("document.querySelector('.badge.quiet').innerText.includes('끄기')")
    tab.focus("#clear")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#answer .welcome")


def test_a_follow_up_goes_on_from_the_question_before_it_and_clearing_forgets_both(open_tab):
    tab = open_tab()
    asks(tab, "병가는 며칠까지 쓸 수 있나요?")
    asks(tab, "그럼 서류는 뭘 내나요?")
    assert "병가" in tab.inner_text(".searched")
    assert "1개" in tab.inner_text(".earlier summary")
    tab.click("#clear")
    tab.wait_for_selector("#answer .welcome")
    assert tab.locator(".earlier").count() == 0
    assert titles(tab) == []


def test_questions_that_cannot_be_asked_are_answered_kindly(open_tab):
    tab = open_tab()
    tab.click("#ask")
    assert "질문을 적어 주세요" in tab.inner_text(".notice")
    tab.fill("#question textarea", "가" * 600)
    assert len(tab.input_value("#question textarea")) <= 600
    tab.evaluate("document.querySelector('#question textarea').removeAttribute('maxlength')")
    tab.click("#ask")
    tab.wait_for_selector(".notice:has-text('500자'), .answer[data-stage=done]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_at_360_pixels(open_tab, scheme):
    tab = open_tab(360, 780, scheme)
    asks(tab, QUESTION)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("parseFloat(getComputedStyle(document.querySelector('.answer-text')).fontSize)") >= 16
    assert tab.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    tab.click("[data-action=theme]")
    assert tab.evaluate("document.body.classList.contains('dark')") == (scheme != "dark")


def test_screenshots_for_the_docs_are_taken_where_a_folder_is_named(open_tab):
    folder = os.environ.get("KO_RERANK_SCREENSHOTS")
    for name, width, height, scheme in (
        ("chat", 1280, 860, "light"),
        ("chat-dark", 1280, 860, "dark"),
        ("chat-narrow", 360, 780, "light"),
    ):
        tab = open_tab(width, height, scheme)
        asks(tab, "섬으로 가는 배에 자전거를 가지고 탈 수 있어?")
        assert tab.locator(".source").count() == 5
        if folder:
            tab.screenshot(path=f"{folder}/{name}.png")
