import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.text.kiwi import LONGEST_PIECE, split_long_text
from llama_index_ko_rerank.text.sentences import split_sentences
from llama_index_ko_rerank.text.tokenizers import MorphemeTokenizer

SENTENCE = "연차는 사흘 전에 팀장에게 신청한다."


@settings(deadline=None)
@given(st.text(alphabet="가나.!? \n\t", max_size=120), st.integers(1, 40))
def test_pieces_are_bounded_and_joined_are_the_text(text, most):
    pieces = split_long_text(text, most)
    assert "".join(pieces) == text
    assert all(len(piece) <= most for piece in pieces)
    assert all(pieces) or not text


def test_a_short_text_is_one_piece():
    assert split_long_text("비가 온다.\n눈도 온다.") == ["비가 온다.\n눈도 온다."]
    assert split_long_text("") == [""]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("가나다. 라마\n바사 아자", ["가나다. 라마\n", "바사 아자"]),
        ("가나다라마. 바사 아자", ["가나다라마. ", "바사 아자"]),
        ("가나다라마 바사아자차", ["가나다라마 ", "바사아자차"]),
        ("가나다라마바사아자차카타", ["가나다라마바사아자차", "카타"]),
        ("가 나다라마바사아자차카타", ["가 나다라마바사아자", "차카타"]),
    ],
)
def test_a_line_end_is_the_best_cut_then_a_sentence_then_a_space(text, pieces):
    assert split_long_text(text, 10) == pieces


def test_a_long_paragraph_has_the_sentences_that_it_would_have_in_parts():
    whole = " ".join([SENTENCE] * 1000)
    assert len(whole) > 2 * LONGEST_PIECE
    found = split_sentences(whole)
    assert [sentence.text for sentence in found] == [SENTENCE] * 1000
    assert all(whole[sentence.start : sentence.end] == sentence.text for sentence in found)


def test_a_long_text_without_any_end_keeps_every_character():
    whole = "산" * (2 * LONGEST_PIECE + 5)
    assert "".join(sentence.text for sentence in split_sentences(whole)) == whole


def test_a_long_text_has_the_morphemes_of_its_sentences_and_their_numbers_go_on():
    long, short = " ".join([SENTENCE] * 700), "비가 온다."
    first, second, third = MorphemeTokenizer().analyse([short, long, short])
    (one,) = MorphemeTokenizer().analyse([SENTENCE])
    assert second.forms == one.forms * 700
    assert second.tags == one.tags * 700
    assert second.sentences == [number for number in range(700) for _ in one.forms]
    assert first == third
    assert first.forms == ["비", "오"]
