import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import BlankQuery, InvalidText
from llama_index_ko_rerank.text.normalize import check_query, check_text, normalize

# Everything that `normalize` treats in its own way: conjoining and half-width jamo, marks, width forms, invisible and
# control characters.
TRICKY = "가각ㄱ각ﾡﾢￂﾣＡｂ１！　￦ｶﾞée\u0301\u00a8\u0308\u200b\u200d\u2060\ufeff\u00ad\x00\x07\x7f\x85\r\t\n m²½①ﬁ😀"
texts = st.one_of(st.text(), st.text(alphabet=TRICKY))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (unicodedata.normalize("NFD", "한국어 문서"), "한국어 문서"),
        ("ＡＢＣ　１２３！", "ABC 123!"),
        ("ﾾￂ ￦", "하 ₩"),
        ("문\u200b서\ufeff 소\u00ad프트", "문서 소프트"),
        ("표\x00제\x07목\x85끝", "표 제 목 끝"),
        ("첫 줄\n둘째\t줄\r\n", "첫 줄\n둘째\t줄 \n"),
        ("넓이는 12m², 반은 ½, 첫째는 ①", "넓이는 12m², 반은 ½, 첫째는 ①"),
        ("  가장자리  ", "  가장자리  "),
        ("plain ascii\x00", "plain ascii "),
        ("", ""),
    ],
    ids=["nfd", "full width", "half width", "invisible", "control", "lines", "meaning", "edges", "ascii", "empty"],
)
def test_a_text_gets_its_one_form(text, wanted):
    assert normalize(text) == wanted


def test_an_invisible_character_inside_a_syllable_does_not_split_it():
    assert normalize("\u1112\u1161\u200b\u11ab") == "한"


@given(texts)
def test_normalising_twice_changes_nothing_more(text):
    assert normalize(normalize(text)) == normalize(text)


@given(texts)
def test_the_form_is_nfc_without_control_characters(text):
    form = normalize(text)
    assert unicodedata.is_normalized("NFC", form)
    assert not [character for character in form if unicodedata.category(character) == "Cc" and character not in "\t\n"]


@given(texts)
def test_composed_and_decomposed_texts_have_one_form(text):
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_a_lone_surrogate_is_refused_with_its_place(code):
    with pytest.raises(InvalidText, match=rf"surrogate \(U\+{code:04X}\) at offset 2"):
        normalize(f"한글{chr(code)}")


def test_the_refusal_says_what_the_text_was():
    with pytest.raises(InvalidText, match=r"^the text of 'n1' holds"):
        check_text("\udc80", "the text of 'n1'")


def test_characters_beyond_the_basic_plane_are_no_lone_surrogates():
    assert normalize("😀 한글 𠀀") == "😀 한글 𠀀"


def test_a_question_is_normalised_and_trimmed():
    assert check_query(unicodedata.normalize("NFD", " \u200b연차는　언제?\n")) == "연차는 언제?"


@pytest.mark.parametrize("blank", [None, "", "   ", "\n\t", "　", "\u200b\ufeff", "\x00", " \u00ad "])
def test_a_question_that_asks_nothing_is_refused(blank):
    with pytest.raises(BlankQuery, match="a question is needed"):
        check_query(blank)


def test_a_question_with_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidText, match=r"^question holds a lone surrogate"):
        check_query("연차\ud83d")
