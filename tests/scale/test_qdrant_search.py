import asyncio

import pytest
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
from llama_index_ko_rerank.scale.qdrant import KoreanQdrantRetriever, QdrantStatistics, build_qdrant_index
from llama_index_ko_rerank.store import build_index
from tests.corpora.qdrant import QUESTIONS, BigramEmbedding, ids_and_scores, notices


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return build_index(notices(), tmp_path_factory.mktemp("ours"), embed_model=BigramEmbedding())


@pytest.fixture(scope="module")
def index():
    client = QdrantClient(":memory:")
    return build_qdrant_index(notices(), client, "notices", embed_model=BigramEmbedding())


def filters(*conditions):
    return MetadataFilters(
        filters=[MetadataFilter(key=key, operator=operator, value=value) for key, operator, value in conditions]
    )


def same(found, expected):
    """The same nodes with the same scores; nodes of equal scores may stand in another order."""
    ids, scores = ids_and_scores(found)
    expected_ids, expected_scores = ids_and_scores(expected)
    assert scores == pytest.approx(expected_scores, abs=2e-5)
    last = expected_scores[-1] if expected_scores else 0
    sure = {one for one, score in zip(expected_ids, expected_scores, strict=True) if score > last + 1e-4}
    assert sure <= set(ids)


@pytest.mark.parametrize("question", QUESTIONS)
def test_words_find_what_our_own_index_finds_with_the_same_scores(ours, index, question):
    found = KoreanQdrantRetriever(index, similarity_top_k=10).retrieve(question)
    same(found, KoreanBM25Retriever.from_index(ours, similarity_top_k=10).retrieve(question))


def test_a_passage_that_a_view_did_not_list_gets_that_views_score(ours, index, monkeypatch):
    # Two candidates a view, so that nearly every passage of one view's list is missing in the other's.
    monkeypatch.setattr("llama_index_ko_rerank.scale.qdrant.retriever._FEWEST_CANDIDATES", 2)
    monkeypatch.setattr("llama_index_ko_rerank.scale.qdrant.retriever._CANDIDATES_A_RESULT", 1)
    expected = {
        result.node.node_id: result.score
        for result in KoreanBM25Retriever.from_index(ours, similarity_top_k=40).retrieve("도서관 강좌 이용료")
    }
    for result in KoreanQdrantRetriever(index, similarity_top_k=2).retrieve("도서관 강좌 이용료"):
        assert result.score == pytest.approx(expected[result.node.node_id], abs=1e-5)


def test_filters_restrict_the_search_by_words_and_keep_its_scale(ours, index):
    of_library = filters(("곳", FilterOperator.IN, ["도서관", "보건소"]), ("번호", FilterOperator.GTE, 2))
    for question in QUESTIONS[:4]:
        expected = KoreanBM25Retriever.from_index(ours, filters=of_library).retrieve(question)
        same(KoreanQdrantRetriever(index, filters=of_library).retrieve(question), expected)


def test_the_legs_say_what_each_view_thought(ours, index):
    (best, *_) = KoreanQdrantRetriever(index).retrieve("수영장 이용료")
    (expected, *_) = KoreanBM25Retriever.from_index(ours).retrieve("수영장 이용료")
    assert best.node == expected.node
    assert {name: leg.rank for name, leg in best.sources.items()} == {"morphemes": 1, "bigrams": 1}
    for name, leg in expected.sources.items():
        assert best.sources[name].score == pytest.approx(leg.score, rel=1e-5)


def test_vectors_find_what_our_own_store_finds_with_the_same_cosines(ours, index):
    for question in QUESTIONS:
        same(
            index.as_retriever(similarity_top_k=10).retrieve(question),
            ours.as_retriever(similarity_top_k=10).retrieve(question),
        )


def test_filters_restrict_the_search_by_vectors(ours, index):
    one_place = filters(("곳", FilterOperator.EQ, "보건소"))
    found = index.as_retriever(similarity_top_k=10, filters=one_place).retrieve("주차장")
    same(found, ours.as_retriever(similarity_top_k=10, filters=one_place).retrieve("주차장"))
    assert len(found) == 5


def test_the_hybrid_retriever_and_the_ranker_stand_on_qdrant_unchanged(ours, index):
    lexical = KoreanBM25Retriever.from_index(ours, similarity_top_k=40)
    expected_hybrid = HybridRetriever.from_defaults(
        lexical, ours.as_retriever(similarity_top_k=40), similarity_top_k=40
    )
    hybrid = HybridRetriever.from_defaults(
        KoreanQdrantRetriever(index, similarity_top_k=40), index.as_retriever(similarity_top_k=40), similarity_top_k=40
    )
    expected_ranker = LearningToRankPostprocessor.from_index(lexical.lexical_index, top_n=40, candidates=40)
    ranker = LearningToRankPostprocessor.from_index(QdrantStatistics(index), top_n=40, candidates=40)
    for question in QUESTIONS[:3]:
        candidates, expected_candidates = hybrid.retrieve(question), expected_hybrid.retrieve(question)
        same(candidates, expected_candidates)
        ranked = ranker.postprocess_nodes(expected_candidates, QueryBundle(question))
        expected = expected_ranker.postprocess_nodes(expected_candidates, QueryBundle(question))
        same(ranked, expected)
        assert {"lexical", "dense", "morphemes", "bigrams"} <= set(candidates[0].sources)


def test_the_idf_is_that_of_our_own_index_also_after_a_change(ours):
    client = QdrantClient(":memory:")
    index = build_qdrant_index(notices(), client, "notices", embed_model=BigramEmbedding())
    statistics = QdrantStatistics(index)
    tokens = ["도서관", "이용료", "주차장", "없는말", "도서관"]
    expected = KoreanBM25Retriever.from_index(ours).lexical_index.idf("morphemes", tokens)
    assert statistics.idf("morphemes", tokens).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    index.vector_store.delete_documents(["보건소", "수영장"])
    fewer = [node for node in notices() if node.ref_doc_id not in ("보건소", "수영장")]
    expected = KoreanBM25Retriever.from_nodes(fewer).lexical_index.idf("morphemes", tokens)
    assert statistics.idf("morphemes", tokens).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_question_without_tokens_finds_nothing_and_a_blank_one_is_refused(index):
    assert KoreanQdrantRetriever(index).retrieve("?!") == []
    with pytest.raises(BlankQuery):
        KoreanQdrantRetriever(index).retrieve("  ")


def test_asynchronous_search_gives_the_same(index):
    retriever = KoreanQdrantRetriever(index)
    found = asyncio.run(retriever.aretrieve("보건소 주차장"))
    assert ids_and_scores(found) == ids_and_scores(retriever.retrieve("보건소 주차장"))


def test_another_store_and_a_number_out_of_range_are_refused(ours, index):
    with pytest.raises(InvalidSetting, match=r"DurableFaissVectorStore.*KoreanBM25Retriever"):
        KoreanQdrantRetriever(ours)
    with pytest.raises(InvalidSetting, match="lexical_index"):
        QdrantStatistics(ours)
    with pytest.raises(InvalidSetting, match="similarity_top_k"):
        KoreanQdrantRetriever(index, similarity_top_k=0)
