import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidText
from llama_index_ko_rerank.text.sentences import Sentence, split_sentences

WORDS = [
    "연차는",
    "사흘",
    "전에",
    "신청한다",
    "신청하세요",
    "좋아요",
    "그런데",
    "A형",
    "3.5점",
    "「규정」",
    "😀",
    "\u200b",
    "ㅋㅋ",
]
MARKS = [".", "!", "?", "…", ",", ' "', "' ", "(", ")", " ", "  ", "\n", "\n\n", "\r\n", "\n \t\n", "\u2028", "~", "·"]
korean_texts = st.lists(st.sampled_from(WORDS + MARKS), max_size=25).map("".join)


def texts_of(whole):
    return [sentence.text for sentence in split_sentences(whole)]


def test_sentences_end_at_marks_and_at_korean_endings_without_one():
    whole = "연차는 사흘 전에 신청합니다. 급하면 당일에도 됩니다! 팀장에게 먼저 물어보세요"
    assert texts_of(whole) == ["연차는 사흘 전에 신청합니다.", "급하면 당일에도 됩니다!", "팀장에게 먼저 물어보세요"]


def test_a_number_with_a_point_does_not_end_a_sentence():
    assert texts_of("평점은 4.5점이다. 만점은 5.0점이다.") == ["평점은 4.5점이다.", "만점은 5.0점이다."]


def test_a_sentence_knows_its_place():
    assert split_sentences("  비가 왔다.\n\n 눈도 왔다. ") == [
        Sentence("비가 왔다.", 2, 8),
        Sentence("눈도 왔다.", 11, 17),
    ]


@pytest.mark.parametrize("blank_line", ["\n\n", "\r\n\r\n", "\n  \t\n", "\n\n\n\n"])
def test_a_blank_line_parts_a_heading_from_its_text(blank_line):
    assert texts_of(f"연차 규정{blank_line}연차는 사흘 전에 신청한다.") == ["연차 규정", "연차는 사흘 전에 신청한다."]


def test_a_single_line_feed_inside_a_sentence_does_not_end_it():
    assert texts_of("연차는 사흘 전에\n신청한다.") == ["연차는 사흘 전에\n신청한다."]


def test_offsets_count_in_the_text_as_given_even_where_it_is_decomposed():
    whole = unicodedata.normalize("NFD", "비가 왔다. 눈도 왔다.")
    found = split_sentences(whole)
    assert [unicodedata.normalize("NFC", sentence.text) for sentence in found] == ["비가 왔다.", "눈도 왔다."]
    assert all(whole[sentence.start : sentence.end] == sentence.text for sentence in found)


def test_offsets_are_right_after_characters_beyond_the_basic_plane():
    whole = "😀😀 비가 왔다. 눈도 왔다."
    last = split_sentences(whole)[-1]
    assert whole[last.start : last.end] == last.text == "눈도 왔다."


@pytest.mark.parametrize("blank", ["", "   ", "\n\n\n", "\u3000\t"])
def test_a_blank_text_has_no_sentences(blank):
    assert split_sentences(blank) == []


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidText):
        split_sentences("비가 왔다.\ud800")


@settings(deadline=None)
@given(korean_texts)
def test_sentences_are_trimmed_slices_in_order_with_only_white_space_between(whole):
    end = 0
    for sentence in split_sentences(whole):
        assert sentence.text
        assert sentence.text == sentence.text.strip() == whole[sentence.start : sentence.end]
        assert not whole[end : sentence.start].strip()
        end = sentence.end
    assert not whole[end:].strip()


@settings(deadline=None)
@given(korean_texts, korean_texts)
def test_no_sentence_crosses_a_blank_line(first, second):
    whole = f"{first}\n\n{second}"
    border = len(first)
    assert not [found for found in split_sentences(whole) if found.start < border and found.end > border + 2]
