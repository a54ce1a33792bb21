from random import Random

import pytest

from llama_index_ko_rerank.data import Passage
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer
from llama_index_ko_rerank.train.synthesis.draft import Draft, Noise, Piece, drop_space, noisy_text
from llama_index_ko_rerank.train.synthesis.generate import make_questions
from llama_index_ko_rerank.train.synthesis.inflection import to_adnominal, to_question
from llama_index_ko_rerank.train.synthesis.nouns import how_many
from llama_index_ko_rerank.train.synthesis.parsing import heading_of, parse_passages, tidy
from tests.corpora.synthesis import LIBRARY

QUIET = Noise(0, 0, 0)


def of(passage_id, *kinds, seeds=range(12)):
    """Gather what every seed makes of one passage of the library, by its text."""
    made = [
        question
        for seed in seeds
        for question in make_questions(
            LIBRARY, seed=seed, per_passage=20, noise=QUIET, common_from=len(LIBRARY), kinds=kinds
        )
    ]
    return {question.text: question for question in made if question.passage_id == passage_id}


def answers(made):
    texts = {passage.id: passage.text for passage in LIBRARY}
    return {text: texts[q.passage_id][slice(*q.span)] for text, q in made.items() if q.span}


def predicate(sentence):
    (read,) = parse_passages([Passage("p", sentence)])
    return read.sentences[0][-1]


def test_a_cloze_asks_in_place_with_the_right_question_word_and_ending():
    made = answers(of("setup-1", "cloze"))
    assert made["설치 프로그램은 무엇을 설정 파일에 기록하나요?"] == "포트 번호"
    assert made["누가 설정 파일을 백업 폴더에 복사하는가?"] == "관리자"


def test_a_cloze_also_describes_what_it_asks_for():
    made = answers(of("setup-1", "cloze"))
    assert made["포트 번호를 설정 파일에 기록하는 프로그램은?"] == "설치 프로그램"
    assert made["설치 프로그램이 설정 파일에 기록하는 것은?"] == "포트 번호"


def test_a_number_is_asked_with_its_unit_and_a_date_with_its_year():
    made = answers(of("lib-1", "cloze"))
    assert made["초대 관장 서지훈은 고서 몇 권을 도서관에 기증했는가?"] == "3만 권"
    asking_when = {text for text, answer in made.items() if answer == "1987년"}
    assert asking_when
    assert all("언제" in text or text.endswith(("연 해는?", "연 연도는?")) for text in asking_when)


def test_no_question_points_at_another_sentence():
    made = of("rule-2", "cloze") | of("river-1", "cloze")
    assert made
    assert not any(word in text for text in made for word in ("제1항", "제2조", "이곳", "그는", "그러하지"))


def test_a_reference_to_an_article_is_left_out_of_the_question_and_not_of_the_offsets():
    made = answers(of("rule-2", "cloze"))
    assert made["관장이 허가할 수 있는 것은?"] == "귀중본의 열람"


def test_a_definition_is_asked_both_ways():
    made = answers(of("rule-1", "definition"))
    meanings = {answer for text, answer in made.items() if text.startswith(("귀중본이 ", "귀중본은 ", "귀중본이란 "))}
    terms = {answer for text, answer in made.items() if text.startswith("귀중본을 보관하는 방")}
    assert meanings == {"발행된 지 백 년이 지난 책"}
    assert terms == {'"보존서고"'}


def test_a_heading_of_what_is_done_becomes_how_to_do_it():
    made = of("setup-1", "heading")
    assert any(text.endswith("예약 서버 설치하려면 어떻게 해야 하나요?") for text in made)
    assert any("대출은 어떻게 신청하나요?" in text for text in of("lib-2", "heading"))


def test_a_heading_that_says_little_is_asked_with_its_title():
    made = of("lib-1", "heading")
    assert made
    assert all(text.startswith("한들도서관 안내") for text in made)


def test_a_key_phrase_search_finds_its_passage_alone():
    tokenizer = MorphemeTokenizer()
    held = {p.id: set(terms) for p, terms in zip(LIBRARY, tokenizer.tokens(p.text for p in LIBRARY), strict=True)}
    for passage in LIBRARY:
        searches = of(passage.id, "key_phrases", seeds=range(4))
        assert searches or passage.id == "rule-1"
        assert all(word in passage.text for search in searches for word in search.split())
        for terms in tokenizer.tokens(searches):
            assert not [name for name, own in held.items() if set(terms) <= own and name != passage.id]


@pytest.mark.parametrize(
    ("sentence", "polite", "plain", "formal", "casual", "describing"),
    [
        ("그는 시를 썼다.", "썼나요", "썼는가", "썼습니까", "썼어", "쓴"),
        ("새는 노래를 부른다.", "부르나요", "부르는가", "부릅니까", "불러", "부르는"),
        ("아이가 집을 짓는다.", "짓나요", "짓는가", "짓습니까", "지어", "짓는"),
        ("방이 작다.", "작은가요", "작은가", "작습니까", "작아", "작은"),
        ("책이 방에 있다.", "있나요", "있는가", "있습니까", "있어", "있는"),
        ("그는 의사이다.", "의사인가요", "의사인가", "의사입니까", "의사야", "의사인"),
        ("시설을 관리합니다.", "관리하나요", "관리하는가", "관리합니까", "관리해", "관리하는"),
    ],
)
def test_an_ending_becomes_a_question_in_each_register(sentence, polite, plain, formal, casual, describing):
    word = predicate(sentence)
    found = [to_question(word, register, past=False) for register in ("polite", "plain", "formal", "casual")]
    assert found == [polite, plain, formal, casual]
    assert to_adnominal(word, past=False) == describing


def test_a_clause_before_a_past_one_is_past_too():
    word = predicate("강은 산에서 시작된다.")
    assert to_question(word, "polite", past=True) == "시작됐나요"
    assert to_adnominal(word, past=True) == "시작된"


@pytest.mark.parametrize(
    ("quantity", "question"),
    [("12명", "몇 명"), ("3일 이내", "며칠 이내"), ("5년", "몇 년"), ("2억 원", "얼마"), ("30%", "몇 퍼센트")],
)
def test_a_quantity_is_asked_by_its_unit(quantity, question):
    assert how_many(quantity) == question


def test_headings_are_told_from_sentences():
    assert heading_of("휴가\n연차는 열흘이다.") == ("휴가", 3)
    assert heading_of("연차는 열흘이다.\n병가는 따로 있다.") == ("", 0)
    assert heading_of("제목뿐인 글") == ("", 0)
    assert tidy("1.2 설치 (개정)") == "설치"


def test_noise_changes_only_what_it_names_and_never_what_asks():
    draft = Draft("cloze", (Piece("오류", "를"), Piece("무엇", "이", fixed=True), Piece("고치나요", fixed=True)))
    assert noisy_text(draft, QUIET, Random(0)) == "오류를 무엇이 고치나요?"
    assert noisy_text(draft, Noise(0, 0, 1), Random(0)) == "에러를 무엇이 고치나요?"
    assert noisy_text(draft, Noise(1, 0, 0), Random(0)) == "오류 무엇이 고치나요?"
    spaceless = noisy_text(draft, Noise(0, 1, 0), Random(0))
    assert spaceless.replace(" ", "") == "오류를무엇이고치나요?"
    assert spaceless != "오류를 무엇이 고치나요?"


def test_a_text_without_spaces_loses_none():
    assert drop_space("띄어쓰기", Random(0)) == "띄어쓰기"


def test_a_share_of_noise_outside_0_to_1_is_refused():
    with pytest.raises(InvalidSetting, match="drop_spaces_in is a share"):
        Noise(drop_spaces_in=1.5)
