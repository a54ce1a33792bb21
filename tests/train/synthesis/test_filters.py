import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.synthesis.filters import filter_by_search

FOUND = st.lists(st.tuples(st.none() | st.integers(1, 50), st.floats(0, 1)), max_size=40)


def test_what_is_not_found_goes_and_what_is_too_easy_goes_by_its_margin():
    verdict = filter_by_search([1, 2, 1, None, 31, 1], [0.9, 0.0, 0.6, 0.0, 0.0, 0.1], easy_share=1 / 3)
    assert verdict.not_found == (3, 4)
    assert verdict.too_easy == (0,)
    assert verdict.kept == (1, 2, 5)


def test_without_margins_every_first_hit_is_easy_and_earlier_ones_stay():
    assert filter_by_search([1, 1, 1, 5, 7], easy_share=0.5).kept == (0, 1, 3, 4)


def test_an_easy_share_of_one_keeps_all_and_of_none_keeps_the_hard():
    ranks, margins = [1, 1, 3], [0.9, 0.9, 0.0]
    assert filter_by_search(ranks, margins, easy_share=1).kept == (0, 1, 2)
    assert filter_by_search(ranks, margins, easy_share=0).kept == (2,)


def test_equal_margins_stay_in_the_order_of_the_questions():
    assert filter_by_search([1, 1, 2], [0.7, 0.7, 0.0], easy_share=0.5).kept == (0, 2)


@given(FOUND, st.floats(0, 1))
def test_every_question_gets_one_verdict_and_easy_ones_stay_within_their_share(found, easy_share):
    ranks, margins = [rank for rank, _ in found], [margin for _, margin in found]
    verdict = filter_by_search(ranks, margins, easy_share=easy_share)
    assert sorted((*verdict.kept, *verdict.not_found, *verdict.too_easy)) == list(range(len(found)))
    easy = [place for place in verdict.kept if ranks[place] == 1 and margins[place] >= 0.5]
    assert len(easy) <= easy_share * len(verdict.kept) + 1e-6
    assert all(ranks[place] is None or ranks[place] > 30 for place in verdict.not_found)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0],), {}, "ranks count from 1"),
        (([1], [0.1, 0.2]), {}, "1 ranks and 2 margins"),
        (([1],), {"deepest": 0}, "deepest must be 1 or more"),
        (([1],), {"easy_share": 1.1}, "easy_share must be in 0-1"),
        (([1],), {"easy_margin": -0.1}, "easy_margin must be in 0-1"),
    ],
)
def test_a_setting_out_of_range_is_refused(arguments, settings, message):
    with pytest.raises(InvalidSetting, match=message):
        filter_by_search(*arguments, **settings)
