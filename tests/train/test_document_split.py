import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data import Passage
from llama_index_ko_rerank.data.near_duplicates import NEAR, find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.train.data.splits import split_by_document

WORDS = [
    *("강", "산", "바다", "들판", "마을", "도서관", "시장", "다리", "언덕", "우체국"),
    *("정류장", "학교", "병원", "공원", "극장", "호수", "등대", "나루", "창고", "온실"),
]
BOILERPLATE = "이 규정에서 정하지 아니한 사항은 위원회의 의결을 거쳐 위원장이 정하며 필요한 경우 세칙을 둘 수 있다."


def prose(number):
    """Write a text that shares little with the others."""
    rng = np.random.default_rng(number)
    return " ".join(f"{WORDS[i]}{rng.integers(1000)}" for i in rng.integers(len(WORDS), size=30))


def collection(documents=12, size=5):
    return [
        Passage(f"d{d}-{n}", BOILERPLATE if n == 0 else prose(100 * d + n), f"문서 {d}")
        for d in range(documents)
        for n in range(size)
    ]


def test_no_document_is_on_both_sides_and_nothing_is_lost():
    passages = collection()
    split = split_by_document(passages, seed=3, held_out_share=0.25)
    assert {p.title for p in split.training}.isdisjoint(p.title for p in (*split.held_out, *split.left_out))
    assert sorted(p.id for part in (split.training, split.held_out, split.left_out) for p in part) == sorted(
        p.id for p in passages
    )
    assert len(split.held_out) + len(split.left_out) == 15


def test_text_that_training_holds_too_is_left_out():
    split = split_by_document(collection(), seed=3, held_out_share=0.25)
    assert {passage.text for passage in split.left_out} == {BOILERPLATE}
    assert BOILERPLATE not in {passage.text for passage in split.held_out}


def test_a_text_with_one_word_changed_is_a_near_copy():
    original = f"{prose(7)} {BOILERPLATE}"
    table = minhash_signatures([original, original.replace("위원장이", "간사가"), prose(8)])
    assert [rows.tolist() for rows in find_near_duplicates(table[1:], table[:1])] == [[0], []]


def test_the_seed_decides_and_the_order_does_not():
    passages = collection()
    ids = {passage.id for passage in split_by_document(passages, seed=1).held_out}
    assert ids == {passage.id for passage in split_by_document(passages[::-1], seed=1).held_out}
    assert any(ids != {p.id for p in split_by_document(passages, seed=seed).held_out} for seed in range(2, 6))


def test_passages_with_no_title_are_documents_of_their_own():
    split = split_by_document([Passage(f"p{n}", prose(n)) for n in range(10)], seed=0, held_out_share=0.3)
    assert (len(split.training), len(split.held_out), len(split.left_out)) == (7, 3, 0)


def test_what_cannot_be_split_is_refused():
    passages = collection()
    with pytest.raises(EmptyCorpus, match="two or more, and there are 1"):
        split_by_document(passages[:5], seed=0)
    with pytest.raises(EmptyCorpus, match="copies of passages that stay"):
        split_by_document([Passage(f"p{n}", BOILERPLATE, f"t{n}") for n in range(4)], seed=0)
    with pytest.raises(InvalidSetting, match="above 0 and below 1"):
        split_by_document(passages, seed=0, held_out_share=1)
    with pytest.raises(InvalidSetting, match="60 passages and 1 documents"):
        split_by_document(passages, seed=0, documents=["하나"])


def grams(text):
    plain = "".join(mark for mark in text.lower() if mark.isalnum())
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


@given(st.integers(0, 25))
def test_equal_columns_estimate_the_share_of_grams_in_common(changed):
    left = [f"{WORDS[n % 20]}{n * n % 97}" for n in range(60)]
    right = [f"{word}바뀜" if n < changed else word for n, word in enumerate(left)]
    texts = [" ".join(left), " ".join(right)]
    table = minhash_signatures(texts)
    exact = len(grams(texts[0]) & grams(texts[1])) / len(grams(texts[0]) | grams(texts[1]))
    assert abs((table[0] == table[1]).mean() - exact) < 0.25


def test_spaces_and_punctuation_make_no_other_text():
    table = minhash_signatures(["한들 도서관, 안내!", "한들도서관안내", "", "가"])
    assert (table[0] == table[1]).all()
    assert [rows.tolist() for rows in find_near_duplicates(table[:1], table)] == [[0, 1]]
    assert 0 < NEAR < 1
