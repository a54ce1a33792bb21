import logging
import time
import unicodedata

import pytest

from llama_index_ko_rerank.errors import BlankQuery, EmptyCorpus, InvalidSetting, MalformedData
from llama_index_ko_rerank.evaluate import METRICS, SearchSystem, evaluate_retrieval
from tests.corpora.retrieval import TEXTS, BigramEmbedding, BigramReranker, WordOverlapRetriever, build_dataset, scored

APPLE, BREAD, FISH, FLOWER = TEXTS.values()


def first_value(report, name, metric):
    return report.values[name][metric][0]


def test_hits_are_judged_by_text_for_a_retriever_and_for_a_function(market, overlap):
    report = evaluate_retrieval({"retriever": overlap, "function": overlap.retrieve}, market)
    for name in ("retriever", "function"):
        assert report.values[name]["hit@1"].tolist() == [1.0, 1.0, 1.0, 0.0]
        assert report.intervals[name]["hit@1"].value == 0.75
    assert (report.questions, report.passages, report.dataset, report.split) == (4, 4, "market", "test")


def test_every_metric_has_one_value_for_each_question(market, overlap):
    report = evaluate_retrieval({"overlap": overlap}, market)
    assert set(report.values["overlap"]) == {*METRICS, "candidate_recall"}
    assert all(column.shape == (4,) for column in report.values["overlap"].values())


def test_a_passage_in_decomposed_hangul_is_still_a_hit():
    dataset = build_dataset(TEXTS, [("사과", ("apple",))])
    decomposed = unicodedata.normalize("NFD", APPLE)
    report = evaluate_retrieval({"system": lambda query: scored((decomposed, 1.0))}, dataset)
    assert first_value(report, "system", "hit@1") == 1.0


def test_metadata_of_a_node_is_no_part_of_its_text(market):
    def with_title(query):
        hits = scored((FISH, 1.0))
        hits[0].node.metadata = {"title": "생선 가게"}
        return hits

    report = evaluate_retrieval({"system": with_title}, market)
    assert report.values["system"]["hit@1"].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_system_that_returns_nothing_scores_zero(market):
    report = evaluate_retrieval({"silent": lambda query: []}, market)
    assert all(interval == (0.0, 0.0, 0.0) for interval in report.intervals["silent"].values())
    assert report.systems["silent"].candidates == 0


def test_equal_scores_are_put_into_document_order_whatever_the_answer():
    dataset = build_dataset(TEXTS, [("어느 가게", ("flower",)), ("어느 가게", ("apple",))])
    report = evaluate_retrieval({"ties": lambda query: scored((FLOWER, 1.0), (BREAD, 1.0), (APPLE, 1.0))}, dataset)
    assert report.values["ties"]["mrr@10"].tolist() == [1 / 3, 1.0]


def test_a_tie_reaches_no_further_than_its_neighbours_and_puts_unknown_texts_last():
    dataset = build_dataset(TEXTS, [("어느 가게", ("apple",))])
    hits = scored((FISH, 0.9), ("모르는 글", 0.5), (BREAD, 0.5), (APPLE, 0.5), (FLOWER, 0.1))
    report = evaluate_retrieval({"ties": lambda query: hits}, dataset)
    assert first_value(report, "ties", "mrr@10") == 1 / 2


def test_results_without_scores_stay_as_they_came():
    dataset = build_dataset(TEXTS, [("어느 가게", ("flower",))])
    report = evaluate_retrieval({"unscored": lambda query: scored((FLOWER, None), (APPLE, None))}, dataset)
    assert first_value(report, "unscored", "hit@1") == 1.0


def test_a_text_that_comes_again_counts_once_and_is_logged(caplog):
    dataset = build_dataset(TEXTS, [("어느 가게", ("apple",))])
    hits = scored((FISH, 0.9), (FISH, 0.8), (FISH, 0.7), (APPLE, 0.6))
    report = evaluate_retrieval({"repeats": lambda query: hits}, dataset)
    assert first_value(report, "repeats", "mrr@10") == 0.5
    assert [record.message for record in caplog.records] == ["repeats: 2 results repeat a text and were passed over"]


def test_texts_that_are_no_passage_are_counted_and_logged_once(market, caplog):
    evaluate_retrieval({"chunks": lambda query: scored((query.query_str[:2], 1.0))}, market)
    assert len(caplog.records) == 1
    assert "chunks: 4 results are no passage" in caplog.text


def test_the_number_of_questions_with_ties_can_be_logged(market, overlap, caplog):
    caplog.set_level(logging.INFO)
    backwards = WordOverlapRetriever(overlap.texts[::-1])
    evaluate_retrieval({"forwards": overlap, "backwards": backwards}, market)
    assert "backwards: equal scores were put into document order on" in caplog.text
    assert "forwards: equal scores" not in caplog.text


def test_candidate_recall_looks_at_any_depth_before_reranking_and_hit_rate_at_what_is_left():
    texts = {f"p{index:02d}": f"{index} 번째 글" for index in range(30)}
    dataset = build_dataset(texts, [("번째", ("p20",))])
    retriever = WordOverlapRetriever(list(texts.values()), similarity_top_k=25)
    cut = SearchSystem(retriever, [BigramReranker(top_n=5)])
    report = evaluate_retrieval({"all": retriever, "cut": cut}, dataset)
    for name in ("all", "cut"):
        assert first_value(report, name, "candidate_recall") == 1.0
        assert first_value(report, name, "hit@10") == 0.0
        assert report.systems[name].candidates == 25


def test_a_reranker_changes_the_order_that_is_measured():
    dataset = build_dataset(TEXTS, [("새벽에 반죽을 시작한다 가게 는 문 을", ("bread",))])
    retriever = WordOverlapRetriever([APPLE, BREAD])
    report = evaluate_retrieval({"plain": retriever, "reranked": SearchSystem(retriever, [BigramReranker()])}, dataset)
    assert first_value(report, "plain", "hit@1") == 0.0
    assert first_value(report, "reranked", "hit@1") == 1.0


def test_a_reranker_that_writes_into_its_nodes_leaves_another_system_alone(market):
    shared = scored((BREAD, 0.9), (APPLE, 0.8))
    systems = {"reranked": SearchSystem(lambda query: shared, [BigramReranker()]), "plain": lambda query: shared}
    evaluate_retrieval(systems, market)
    assert [hit.score for hit in shared] == [0.9, 0.8]


def test_every_system_gets_a_fresh_bundle_for_every_question(market, overlap):
    other = WordOverlapRetriever(overlap.texts)
    wide, narrow = BigramEmbedding(dimension=64), BigramEmbedding(dimension=16)
    systems = {
        "wide": SearchSystem(overlap, embed_model=wide),
        "narrow": SearchSystem(other, embed_model=narrow),
        "none": other,
    }
    evaluate_retrieval(systems, market, warm_up=0)
    assert len({id(bundle) for bundle in overlap.seen + other.seen}) == 12
    assert {len(bundle.embedding) for bundle in overlap.seen} == {64}
    assert sorted(len(bundle.embedding or []) for bundle in other.seen) == [0] * 4 + [16] * 4


def test_the_bundle_carries_the_vector_of_the_question(market, overlap):
    model = BigramEmbedding()
    evaluate_retrieval({"dense": SearchSystem(overlap, embed_model=model)}, market, limit=1, warm_up=0)
    assert overlap.seen[0].embedding == model.get_query_embedding(market.questions[0].text)


def test_stages_are_timed_apart_and_only_where_there_are_any(market, overlap):
    def slow(query):
        time.sleep(0.02)
        return overlap.retrieve(query)

    staged = SearchSystem(slow, [BigramReranker()], embed_model=BigramEmbedding())
    report = evaluate_retrieval({"plain": slow, "staged": staged}, market)
    assert list(report.systems["plain"].latency_ms) == ["search", "total"]
    assert list(report.systems["staged"].latency_ms) == ["embed", "search", "rerank", "total"]
    spent = report.systems["staged"].stage_ms
    assert spent["total"] == pytest.approx(spent["embed"] + spent["search"] + spent["rerank"])
    assert report.systems["plain"].latency_ms["search"]["p50"] >= 20.0
    assert report.systems["staged"].latency_ms["rerank"]["p95"] < 20.0


def test_warm_up_questions_are_asked_and_not_measured(market, overlap):
    report = evaluate_retrieval({"overlap": overlap}, market, limit=2, warm_up=2)
    assert len(overlap.seen) == 4
    assert report.questions == 2
    assert len(report.systems["overlap"].stage_ms["total"]) == 2


def test_systems_take_turns_and_each_question_starts_with_another(market, overlap):
    calls = []
    evaluate_retrieval({"a": overlap, "b": overlap, "c": overlap}, market, on_progress=lambda *call: calls.append(call))
    assert "".join(name for name, _, _ in calls) == "abcbcacababc"
    assert [done for _, done, _ in calls] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    assert {total for _, _, total in calls} == {4}


def test_the_first_questions_alone_are_asked_under_a_limit(market, overlap):
    report = evaluate_retrieval({"overlap": overlap}, market, limit=3)
    assert report.questions == 3
    assert report.intervals["overlap"]["hit@1"].value == 1.0


def test_a_paired_difference_says_by_how_much_one_system_is_better(market, overlap):
    report = evaluate_retrieval({"overlap": overlap, "silent": lambda query: []}, market)
    assert report.difference("overlap", "silent", metric="hit@1").value == 0.75
    assert report.difference("silent", "overlap", metric="hit@1").value == -0.75


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"passages": ()}, EmptyCorpus, "collection of 'market'"),
        ({"questions": ()}, EmptyCorpus, "split 'test'"),
    ],
)
def test_a_data_set_with_nothing_in_it_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        evaluate_retrieval({"silent": lambda query: []}, build_dataset(TEXTS, [("사과", ("apple",))], **change))


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        (("  ", ("apple",)), BlankQuery, "'q0' is blank"),
        (("사과", ()), MalformedData, "'q0' names no passage"),
        (("사과", ("pear",)), MalformedData, "'pear', which is not in the collection"),
    ],
)
def test_a_question_that_cannot_be_judged_is_refused_before_any_search(question, error, message):
    calls = []
    with pytest.raises(error, match=message):
        evaluate_retrieval({"counting": lambda query: calls.append(query) or []}, build_dataset(TEXTS, [question]))
    assert not calls


@pytest.mark.parametrize(
    ("systems", "settings", "message"),
    [
        ({}, {}, "at least one system"),
        ({"silent": lambda query: []}, {"limit": 0}, "limit=0"),
        ({"silent": lambda query: []}, {"warm_up": -1}, "warm_up=-1"),
        ({"word": "bm25"}, {}, "found str"),
        ({"strings": lambda query: ["글"]}, {}, "list of NodeWithScore"),
        ({"nothing": lambda query: None}, {}, "found NoneType"),
    ],
)
def test_settings_and_systems_that_cannot_work_are_refused(market, systems, settings, message):
    with pytest.raises(InvalidSetting, match=message):
        evaluate_retrieval(systems, market, **settings)


def test_an_error_of_a_system_says_which_system_and_question(market):
    def broken(query):
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire") as caught:
        evaluate_retrieval({"broken": broken}, market)
    assert caught.value.__notes__ == ["while system 'broken' answered question 'q0'"]
