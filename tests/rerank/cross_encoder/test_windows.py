from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.rerank.cross_encoder.tokenization import sentence_breaks, split_windows


@st.composite
def passages(draw):
    length = draw(st.integers(0, 120))
    breaks = draw(st.sets(st.integers(0, max(length - 1, 0)), max_size=length)) if length else set()
    return length, draw(st.integers(4, 40)), sorted(breaks)


def test_a_passage_that_fits_is_one_window():
    assert split_windows(16, 16, breaks=[0, 9]) == [(0, 16)]
    assert split_windows(0, 16) == [(0, 0)]


def test_windows_end_where_sentences_end_and_begin_where_they_begin():
    # Room for 40 tokens, of which 5 are shared: each window ends at the last break that fits, the next one begins at
    # the first break among the last five tokens.
    breaks = [0, 12, 30, 36, 50, 70, 73, 80]
    assert split_windows(100, 40, breaks=breaks) == [(0, 36), (31, 70), (65, 100)]
    assert split_windows(100, 40, breaks=[0, 12, 32, 36, 50, 70]) == [(0, 36), (32, 70), (65, 100)]


def test_a_break_in_the_first_half_of_the_room_is_too_early_to_end_a_window():
    assert split_windows(60, 40, breaks=[0, 10])[0] == (0, 40)


def test_text_without_sentences_is_cut_where_the_room_ends():
    assert split_windows(100, 40) == [(0, 40), (35, 75), (70, 100)]


def test_the_last_window_reaches_back_to_half_the_room():
    assert split_windows(42, 40) == [(0, 40), (22, 42)]
    assert split_windows(42, 40, breaks=[0, 5, 18]) == [(0, 40), (18, 42)]


@given(passages())
def test_windows_cover_every_token_overlap_and_hold_no_other(passage):
    length, room, breaks = passage
    windows = split_windows(length, room, breaks=breaks)
    assert (windows[0][0], windows[-1][1]) == (0, length)
    for (start, end), (following, following_end) in pairwise(windows):
        assert start < following < end < following_end


@given(passages())
def test_no_window_is_longer_than_the_room_or_shorter_than_half_of_it(passage):
    length, room, breaks = passage
    sizes = [end - start for start, end in split_windows(length, room, breaks=breaks)]
    assert max(sizes) <= room
    assert len(sizes) == 1 or min(sizes) >= room / 2


class TestSentenceBreaks:
    TEXT = "연차는 사흘 전에 신청한다. 출장비는 이레 안에 청구한다.\n\n회의실은 하루 전에 예약한다."

    def test_sentences_start_at_the_tokens_that_hold_their_first_characters(self):
        words = [*self.TEXT.replace("\n", " ").split(" ")]
        ends, place = [], 0
        for word in filter(None, words):
            place = self.TEXT.index(word, place) + len(word)
            ends.append(place)
        # The second sentence starts with its fifth word, the third with its ninth.
        assert sentence_breaks(self.TEXT, np.array(ends, np.int32)) == [0, 4, 8]

    def test_a_token_across_two_sentences_belongs_to_the_second(self):
        start = self.TEXT.index("출장비")
        assert sentence_breaks(self.TEXT, np.array([3, start - 4, start + 2, len(self.TEXT)], np.int32)) == [0, 2, 3]

    @pytest.mark.parametrize("text", ["", "   "])
    def test_a_blank_text_has_none(self, text):
        assert sentence_breaks(text, np.array([], np.int32)) == []
