import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import DuplicateNodeId, InvalidSetting, InvalidText
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex, best_first
from llama_index_ko_rerank.text.tokenizers import TAG_NAMES, BigramTokenizer, MorphemeTokenizer

ANALYZERS = [("morphemes", "bigrams"), ("morphemes",), ("bigrams",)]
PHRASES = [
    "연차는 사흘 전에",
    "출장비 청구",
    "회의실 예약",
    "하루 전에",
    "점심 식대",
    "노트북",
    "",
    "!!!",
    "KTX 2024년",
]
collections = st.lists(st.sampled_from(PHRASES), max_size=8)


def built(texts, analyzers=ANALYZERS[0], **options):
    index = LexicalIndex(analyzers, **options)
    index.add([f"n{number}" for number in range(len(texts))], texts)
    return index


def found(index, query, top_k=10, **options):
    return [index.ids[hit.position] for hit in index.search(query, top_k, **options)]


@pytest.mark.parametrize("analyzers", ANALYZERS)
def test_the_passage_that_shares_the_words_comes_first(analyzers, rules):
    index = LexicalIndex(analyzers)
    index.add(list(rules), list(rules.values()))
    assert found(index, "출장비 청구")[0] == "trip"
    assert found(index, "주차장을 쓰는 직원")[0] == "parking"


def test_each_analyzer_catches_what_the_other_misses():
    typo, inflected = "출장 비는 어찌 청궇나", "불을 껐다"
    texts = ["출장비는 이레 안에 청구한다", "쓴 뒤에는 불을 끈다", "불고기는 맛있다"]
    assert found(built(texts, ["bigrams"]), typo) == ["n0"]
    assert found(built(texts, ["morphemes"]), inflected)[0] == "n1"


@pytest.mark.parametrize("analyzers", ANALYZERS)
@pytest.mark.parametrize("question", ["바다거북", "!!!", "은", "😀"])
def test_a_passage_that_shares_nothing_is_not_found(analyzers, question):
    assert found(built(["연차 신청", "회의실 예약"], analyzers), question) == []


def test_one_analyzer_gives_its_bm25_scores():
    index = built(["연차 신청", "연차 연차", "회의실"], ["morphemes"])
    scores = index.inverted_indexes["morphemes"].scores(["연차"])
    assert [(hit.position, hit.score) for hit in index.search("연차는?", 5)] == [
        (1, pytest.approx(scores[1])),
        (0, pytest.approx(scores[0])),
    ]


def test_both_views_count_half_each_of_their_best():
    index = built(["연차 신청", "연차수당을 신청하는 서류", "회의실"])
    scores = index.analyzer_scores("연차 신청")
    best = {name: values.max() for name, values in scores.items()}
    for hit in index.search("연차 신청", 5):
        halves = [values[hit.position] / best[name] / 2 for name, values in scores.items()]
        assert hit.score == pytest.approx(sum(halves))
        assert hit.scores == pytest.approx({name: values[hit.position] for name, values in scores.items()})
    assert index.search("연차 신청", 1)[0].score == pytest.approx(1.0)


def test_a_hit_says_its_rank_in_each_view_that_matches():
    index = built(["사과", "사과나무", "나무"])
    hits = {hit.position: hit for hit in index.search("사과", 5)}
    assert hits[0].ranks == {"morphemes": 1, "bigrams": 1}
    assert hits[1].ranks["bigrams"] == 2
    assert set(hits[1].ranks) == set(hits[1].scores)


def test_equal_scores_share_a_rank_and_keep_the_order_of_the_collection():
    index = built(["회의실", "사과!", "사과.", "사과?"])
    hits = index.search("사과", 5)
    assert [hit.position for hit in hits] == [1, 2, 3]
    assert len({hit.score for hit in hits}) == 1
    assert [hit.ranks for hit in hits] == [{"morphemes": 1, "bigrams": 1}] * 3


def test_ranks_are_counted_among_all_passages_and_not_only_those_asked_for():
    index = built(["배 배", "배", "감"], ["morphemes"])
    only_second = index.search("배", 5, mask=np.array([False, True, True]))
    assert [(hit.position, hit.ranks) for hit in only_second] == [(1, {"morphemes": 2})]


@pytest.mark.parametrize("top_k", [1, 2, 3, 100])
def test_asking_for_fewer_cuts_the_end(top_k):
    index = built(["사과", "사과 배", "사과 배 감", "사과 배 감 귤"])
    assert found(index, "사과", top_k) == found(index, "사과", 4)[:top_k]


def test_a_mask_hides_passages():
    index = built(["사과!", "사과.", "사과?"])
    assert found(index, "사과", mask=np.array([True, False, True])) == ["n0", "n2"]
    assert found(index, "사과", mask=np.zeros(3, bool)) == []


def test_an_empty_index_finds_nothing():
    assert LexicalIndex().search("사과", 5) == []


def test_passages_without_words_are_indexed_and_never_found():
    index = built(["", "!!!", "사과"])
    assert len(index) == 3
    assert found(index, "사과") == ["n2"]


@pytest.mark.parametrize("analyzers", ANALYZERS)
@settings(deadline=None, max_examples=25)
@given(collections, collections, st.sampled_from(PHRASES))
def test_adding_in_parts_is_adding_at_once(analyzers, first, second, question):
    parts = built(first, analyzers)
    parts.search(question, 5)
    parts.add([f"m{number}" for number in range(len(second))], second)
    whole = built(first + second, analyzers)
    assert parts.search(question, 5) == whole.search(question, 5)


@pytest.mark.parametrize("analyzers", ANALYZERS)
@settings(deadline=None, max_examples=25)
@given(collections, st.sets(st.integers(0, 7)), st.sampled_from(PHRASES))
def test_after_a_deletion_all_is_as_if_the_passages_had_never_been_there(analyzers, texts, gone, question):
    index = built(texts, analyzers)
    known = {number for number in gone if number < len(texts)}
    assert index.delete([f"n{number}" for number in gone]) == len(known)
    fresh = LexicalIndex(analyzers)
    left = [number for number in range(len(texts)) if number not in known]
    fresh.add([f"n{number}" for number in left], [texts[number] for number in left])
    assert index.ids == fresh.ids
    assert index.positions == fresh.positions
    assert index.search(question, 5) == fresh.search(question, 5)


def test_a_deleted_passage_can_come_back_with_another_text():
    index = built(["사과", "배"])
    index.delete(["n0"])
    index.add(["n0"], ["감"])
    assert found(index, "사과") == []
    assert found(index, "감") == ["n0"]


def test_unknown_ids_are_passed_over_in_a_deletion():
    index = built(["사과"])
    assert index.delete(["nobody", "n0", "n0"]) == 1
    assert index.delete(["n0"]) == 0


@pytest.mark.parametrize("ids", [["new", "n0"], ["new", "new"]])
def test_an_id_given_twice_is_refused_and_nothing_is_added(ids):
    index = built(["사과"])
    with pytest.raises(DuplicateNodeId, match=re.escape(repr(ids[1]))):
        index.add(ids, ["배", "감"])
    assert index.ids == ["n0"]
    assert found(index, "배 감") == []


def test_a_lone_surrogate_is_refused_by_name_and_nothing_is_added():
    index = built(["사과"])
    with pytest.raises(InvalidText, match="the text of 'bad'"):
        index.add(["good", "bad"], ["배", "감\ud800"])
    assert index.ids == ["n0"]


def test_progress_is_told_up_to_the_end():
    calls = []
    LexicalIndex(("bigrams",)).add(
        [str(number) for number in range(9_000)],
        ["사과"] * 9_000,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (9_000, 9_000)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_an_unknown_analyzer_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidSetting, match="did you mean 'bigrams'"):
        LexicalIndex(["bigram"])


@pytest.mark.parametrize("analyzers", ["bigrams", [], ()])
def test_analyzers_are_a_list_with_a_name_in_it(analyzers):
    with pytest.raises(InvalidSetting, match="analyzers must be a list of names"):
        LexicalIndex(analyzers)


def test_the_order_of_the_analyzers_means_nothing():
    assert LexicalIndex(["bigrams", "morphemes", "bigrams"]).analyzers == LexicalIndex().analyzers


def test_the_identity_has_the_tokenizers_of_the_analyzers():
    assert set(LexicalIndex().identity) == {"morphemes", "bigrams"}
    assert set(LexicalIndex(("bigrams",)).identity) == {"bigrams"}
    assert LexicalIndex(user_words=[("모두의책", "NNP")]).identity != LexicalIndex().identity


def test_the_stream_of_a_passage_is_what_the_tokenizer_says_of_it():
    texts = ["비가 왔다. 눈도 왔다.", "", "3명이 왔다"]
    index = built(texts)
    words = list(index.inverted_indexes["morphemes"].vocabulary)
    for place, wanted in enumerate(MorphemeTokenizer().analyse(texts)):
        stream = index.stream(place)
        assert [words[token_id] for token_id in stream.token_ids] == wanted.forms
        assert [TAG_NAMES[tag] for tag in stream.tags] == wanted.tags
        assert stream.sentences.tolist() == wanted.sentences


@pytest.mark.parametrize("analyzers", ANALYZERS)
def test_some_passages_are_scored_as_among_all(analyzers, rules):
    index = built(list(rules.values()), analyzers)
    among_all = index.analyzer_scores("하루 전에 신청")
    some = index.scores_at("하루 전에 신청", [5, 0, 2])
    assert set(some) == set(among_all)
    for name, scores in some.items():
        assert scores == pytest.approx(among_all[name][[5, 0, 2]], abs=1e-5)


def test_passages_that_are_not_in_the_index_are_scored_by_its_statistics(rules):
    texts = list(rules.values())
    index = built(texts)
    documents = {"morphemes": list(MorphemeTokenizer().tokens(texts)), "bigrams": list(BigramTokenizer().tokens(texts))}
    unseen = index.scores_for_unindexed("하루 전에 신청", documents)
    for name, scores in index.analyzer_scores("하루 전에 신청").items():
        assert unseen[name] == pytest.approx(scores, abs=1e-5)


def test_a_morpheme_has_its_number_in_the_streams_and_an_unknown_one_none():
    index = built(["연차 신청", "연차"])
    assert index.morpheme_ids(["신청", "바다거북", "연차"]) == [
        index.stream(0).token_ids[1],
        None,
        index.stream(1).token_ids[0],
    ]
    rare, common, unknown = index.idf("morphemes", ["신청", "연차", "바다거북"])
    assert unknown > rare > common > 0


def test_streams_move_up_after_a_deletion():
    index = built(["사과", "연차 신청", "노트북"])
    words = list(index.inverted_indexes["morphemes"].vocabulary)
    index.delete(["n0"])
    assert [words[token_id] for token_id in index.stream(0).token_ids] == ["연차", "신청"]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12), st.integers(1, 15))
def test_best_first_is_a_stable_sort_of_the_positive_scores(scores, top_k):
    wanted = sorted((place for place, score in enumerate(scores) if score > 0), key=lambda place: -scores[place])
    assert best_first(np.array(scores, np.float32), top_k).tolist() == wanted[:top_k]
