from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.app.chat_service import StageTimes, Turn, ViewState
from llama_index_ko_rerank.app.components import SearchOptions
from llama_index_ko_rerank.app.highlight import Marks
from llama_index_ko_rerank.app.render_answer import answer_body, answer_html, times_html
from llama_index_ko_rerank.app.render_sources import source_html, sources_html
from llama_index_ko_rerank.app.source_view import LegView, MatchedWords, Outranked, SourceView

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&<a href=javascript:alert(1)>"
OURS = {"section", "article", "header", "footer", "h2", "h3", "p", "ul", "li", "div", "span", "small", "mark", "i", "b"}
OURS |= {"dl", "dt", "dd", "button", "a", "details", "summary"}


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.names, self.attributes, self.text = set(), [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def source(**changes):
    settings = {
        "number": 1,
        "node_id": HOSTILE,
        "title": HOSTILE,
        "text": HOSTILE * 20,
        "rank_before": 3,
        "retrieval_score": 0.5,
        "retrieval_share": 0.25,
        "rerank_score": 0.9,
        "rerank_share": 1.0,
        "legs": (LegView("lexical", 2, 0.5, 0.5), LegView(HOSTILE, 1, 1.0, 1.0)),
        "words": MatchedWords((HOSTILE,), (HOSTILE,), 3, 7),
        "marks": Marks(((3, 9),), (1, 400)),
        "window": (10, 90),
    }
    return SourceView(**{**settings, **changes})


def only_ours(html):
    tags = Tags(html)
    assert tags.names <= OURS
    for name, value in tags.attributes:
        assert not name.startswith("on")
        assert not (name in ("href", "src") and not str(value).startswith("#source-"))
    return tags


def test_what_documents_questions_and_answers_hold_is_text_and_never_markup():
    shown = ViewState(
        HOSTILE,
        SearchOptions(),
        "done",
        searched=HOSTILE + "!",
        answer=f"- {HOSTILE} [1]\n{HOSTILE}",
        kind="generated",
        citable=1,
        sources=(source(),),
        outranked=(Outranked(HOSTILE, 2, None),),
        notice=HOSTILE,
    )
    assert HOSTILE in only_ours(answer_html(shown, [Turn(HOSTILE, HOSTILE)])).text
    assert HOSTILE in only_ours(sources_html(shown)).text


@given(st.text(st.sampled_from("<>&\"'[]-19 \n가`${}"), max_size=60))
def test_no_answer_becomes_markup_other_than_lists_paragraphs_and_citations(answer):
    tags = Tags(answer_body(answer, 3))
    assert tags.names <= {"ul", "li", "p", "a", "span"}


def test_citations_of_sources_are_links_and_others_are_not():
    html = answer_body("하나 [1][2] 셋 [3] 영 [0]", 2)
    assert [value for name, value in Tags(html).attributes if name == "href"] == ["#source-1", "#source-2"]
    assert Tags(html).text == "하나 12 셋 [3] 영 [0]"


@pytest.mark.parametrize(
    ("before", "after", "kind", "said"),
    [(3, 1, "up", "3 → 1"), (1, 4, "down", "1 → 4"), (2, 2, "same", "2위 그대로")],
)
def test_a_card_says_how_reranking_moved_its_source(before, after, kind, said):
    html = source_html(source(rank_before=before, number=after))
    assert f'class="move {kind}"' in html
    assert said in Tags(html).text


def test_without_a_reranker_a_card_names_its_rank_and_no_rerank_score():
    html = source_html(source(rerank_score=None, number=2, rank_before=2))
    assert "→" not in Tags(html).text
    assert "재순위" not in Tags(html).text


def test_a_long_passage_is_shown_by_its_best_part_and_opens_in_full():
    html = source_html(source(text="가" * 1200, marks=Marks((), (700, 720))))
    assert html.count("<details>") == 1
    assert "1,200자" in html
    assert "11~90번째" in html


def test_stages_that_took_no_place_are_left_out_and_waiting_is_said_only_where_it_is_felt():
    html = times_html(StageTimes(waited_ms=3.0, retrieve_ms=10.0, answer_ms=30.0, total_ms=45.0))
    assert "찾기 10 ms" in Tags(html).text
    assert "재순위" not in Tags(html).text
    assert "차례" not in Tags(html).text
    assert "width:25.0%" in html
    assert "차례 기다림 1.2초" in Tags(times_html(StageTimes(waited_ms=1200.0, retrieve_ms=1.0))).text
    assert times_html(StageTimes()) == ""
