import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.rerank.ltr.matching import (
    AnswerType,
    CandidateBatch,
    QueryAnalysis,
    best_by_passage,
    find_matches,
    pairs_found,
    sentence_presence,
    window_presence,
)

A, B, C, OTHER = 1, 2, 3, 9


def question(*ids, pairs=()):
    names = tuple(f"w{number}" for number in ids)
    return QueryAnalysis(
        names,
        ("NNG",) * len(ids),
        np.array(ids),
        np.ones(len(ids)),
        np.array(pairs, np.intp).reshape(-1, 2),
        AnswerType(),
    )


def passages(*texts):
    """Make passages from lists of sentences, each a list of token ids."""
    words = [[word for sentence in text for word in sentence] for text in texts]
    lengths = np.array([len(text) for text in words], np.int64)
    starts = np.cumsum(lengths) - lengths
    doc_index = np.repeat(np.arange(len(texts)), lengths)
    numbers = [number for text in texts for number, sentence in enumerate(text) for _ in sentence]
    return CandidateBatch(
        doc_index,
        np.arange(len(doc_index)) - starts[doc_index],
        np.array([word for text in words for word in text], np.int64),
        np.zeros(len(doc_index), np.uint8),
        np.array(numbers, np.int64),
        starts,
        lengths,
        {},
    )


class TestMatches:
    def test_each_place_of_a_question_morpheme_is_found_in_reading_order(self):
        found = find_matches(question(A, B), passages([[A, OTHER], [B]], [[OTHER]], [[B, B]]))
        assert found.at.tolist() == [0, 2, 4, 5]
        assert found.doc_index.tolist() == [0, 0, 2, 2]
        assert found.positions.tolist() == [0, 2, 0, 1]
        assert found.sentences.tolist() == [0, 1, 0, 0]
        assert found.slots.tolist() == [0, 1, 1, 1]
        assert found.present.tolist() == [[1, 1], [0, 0], [0, 1]]

    def test_passages_of_no_morphemes_have_none(self):
        found = find_matches(question(A), passages([], []))
        assert found.present.tolist() == [[0], [0]]


class TestSentences:
    def test_a_sentence_and_its_next_one_are_read_together_within_a_passage_only(self):
        found = find_matches(question(A, B, C), passages([[A], [B], [OTHER], [C]], [[B]]))
        single, double, doc_index = sentence_presence(found)
        assert single.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
        assert double.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
        assert doc_index.tolist() == [0, 0, 0, 1]


class TestWindows:
    def test_a_window_starts_at_a_match_and_stays_in_its_passage(self):
        found = find_matches(question(A, B), passages([[A, OTHER, B]], [[B, A]]))
        assert window_presence(found, 2).tolist() == [[True, False], [False, True], [True, True], [True, False]]
        assert window_presence(found, 3).tolist()[0] == [True, True]

    @given(st.lists(st.lists(st.sampled_from([A, B, C, OTHER]), max_size=12), min_size=1, max_size=5))
    def test_windows_are_what_counting_one_by_one_gives(self, texts):
        given_passages = passages(*[[text] for text in texts])
        found = find_matches(question(A, B, C), given_passages)
        wanted = [
            [word in text[place : place + 4] for word in (A, B, C)]
            for text in texts
            for place, first in enumerate(text)
            if first != OTHER
        ]
        assert window_presence(found, 4).tolist() == wanted


class TestBest:
    def test_the_largest_of_each_passage_counts_and_none_is_0(self):
        values, doc_index = np.array([0.2, 0.7, 0.1]), np.array([0, 0, 2])
        assert best_by_passage(values, doc_index, 4).tolist() == [0.7, 0, 0.1, 0]


class TestPairs:
    def test_neighbours_count_in_the_order_of_the_question_only(self):
        asked = question(A, B, pairs=[(0, 1)])
        found = find_matches(asked, passages([[A, B]], [[B, A]], [[A], [OTHER], [B]]))
        assert pairs_found(asked, found, reach=1).tolist() == [[1], [0], [0]]
        assert pairs_found(asked, found, reach=3).tolist() == [[1], [0], [1]]

    def test_the_end_of_one_passage_is_no_neighbour_of_the_next(self):
        asked = question(A, B, pairs=[(0, 1)])
        found = find_matches(asked, passages([[A]], [[B]]))
        assert pairs_found(asked, found, reach=3).tolist() == [[0], [0]]

    @pytest.mark.parametrize("texts", [([[OTHER]],), ([[A]],)])
    def test_a_question_with_no_neighbours_has_no_pairs(self, texts):
        asked = question(A)
        assert pairs_found(asked, find_matches(asked, passages(*texts)), reach=3).shape == (1, 0)
