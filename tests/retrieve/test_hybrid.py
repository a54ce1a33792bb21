import asyncio
import json
import threading

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalStartEvent
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.types import SourceHit

TEXTS = {"a": "사과는 가을에 익는다", "b": "배는 물이 많다", "c": "귤은 겨울에 난다", "d": "감은 말려 먹는다"}
NODES = {identity: TextNode(text=text, id_=identity, metadata={"kind": "과일"}) for identity, text in TEXTS.items()}


class FakeRetriever(BaseRetriever):
    """Finds what it was told to, once its barrier lets it, and keeps the questions that it was asked."""

    def __init__(self, scores, *, barrier=None, error=None):
        self.scores = scores
        self.barrier = barrier
        self.error = error
        self.bundles = []
        super().__init__()

    def _found(self, query_bundle):
        self.bundles.append(query_bundle)
        if self.error:
            raise self.error
        return [NodeWithScore(node=NODES[identity], score=score) for identity, score in self.scores]

    def _retrieve(self, query_bundle):
        if self.barrier is not None:
            self.barrier.wait(30)
        return self._found(query_bundle)

    async def _aretrieve(self, query_bundle):
        if self.barrier is not None:
            await asyncio.to_thread(self.barrier.wait, 30)
        return self._found(query_bundle)


class Echoing(FakeRetriever):
    """A foreign retriever that skips the base class and returns nodes twice."""

    def retrieve(self, query):
        return self._retrieve(query)

    async def aretrieve(self, query):
        return await self._aretrieve(query)


@pytest.fixture
def lexical():
    return FakeRetriever([("a", 12.0), ("b", 9.0), ("c", 6.0)])


@pytest.fixture
def dense():
    return FakeRetriever([("c", 0.9), ("d", 0.7), ("a", 0.1)])


@pytest.fixture(params=["retrieve", "aretrieve"])
def ask(request):
    """Ask a retriever a question, by its sync and by its async method."""
    if request.param == "retrieve":
        return lambda retriever, query="과일": retriever.retrieve(query)
    return lambda retriever, query="과일": asyncio.run(retriever.aretrieve(query))


def scores_of(results):
    return {result.node.node_id: result.score for result in results}


def test_the_convex_combination_is_that_worked_by_hand(ask, lexical, dense):
    results = ask(HybridRetriever({"lexical": lexical, "dense": dense}, weights={"lexical": 3, "dense": 1}))
    assert [result.node.node_id for result in results] == ["a", "b", "c", "d"]
    assert scores_of(results) == pytest.approx({"a": 0.75, "b": 0.375, "c": 0.25, "d": 0.75 / 4})


def test_reciprocal_ranks_are_those_worked_by_hand(ask, lexical, dense):
    retriever = HybridRetriever(
        {"lexical": lexical, "dense": dense}, weights={"lexical": 2, "dense": 1}, fusion="rrf", rrf_k=0
    )
    assert scores_of(ask(retriever)) == pytest.approx({"a": 2 + 1 / 3, "b": 1.0, "c": 2 / 3 + 1, "d": 0.5})


def test_a_normalisation_may_be_named_for_a_retriever(ask, lexical, dense):
    retriever = HybridRetriever({"lexical": lexical, "dense": dense}, normalizations={"lexical": "max"})
    assert scores_of(ask(retriever))["b"] == pytest.approx(0.75 / 2)


def test_fuse_works_on_scores_alone_and_agrees(lexical, dense):
    retriever = HybridRetriever({"lexical": lexical, "dense": dense})
    fused = retriever.fuse({"lexical": dict(lexical.scores), "dense": dict(dense.scores)})
    assert dict(fused) == scores_of(retriever.retrieve("과일"))


def test_each_result_has_the_rank_and_score_of_each_retriever(ask, lexical, dense):
    sources = {
        result.node.node_id: result.sources for result in ask(HybridRetriever({"lexical": lexical, "dense": dense}))
    }
    assert sources == {
        "a": {"lexical": SourceHit(rank=1, score=12.0), "dense": SourceHit(rank=3, score=0.1)},
        "b": {"lexical": SourceHit(rank=2, score=9.0)},
        "c": {"lexical": SourceHit(rank=3, score=6.0), "dense": SourceHit(rank=1, score=0.9)},
        "d": {"dense": SourceHit(rank=2, score=0.7)},
    }


def test_the_sources_are_seen_neither_by_the_llm_nor_by_the_hash(ask, lexical, dense):
    before = {identity: (node.get_content(MetadataMode.LLM), node.hash) for identity, node in NODES.items()}
    results = ask(HybridRetriever({"lexical": lexical, "dense": dense}))
    assert {
        result.node.node_id: (result.node.get_content(MetadataMode.LLM), result.node.hash) for result in results
    } == before


def test_results_can_be_written_as_json(ask, lexical, dense):
    written = json.loads(ask(HybridRetriever({"lexical": lexical, "dense": dense}))[0].to_json())
    assert written["sources"]["lexical"] == {"rank": 1, "score": 12.0}
    assert written["node"]["text"] == TEXTS["a"]


def test_the_sources_of_a_retriever_are_kept_beside_its_own_hit(nodes):
    retriever = HybridRetriever({"lexical": KoreanBM25Retriever.from_nodes(nodes)})
    sources = retriever.retrieve("출장비 청구")[0].sources
    assert set(sources) == {"lexical", "morphemes", "bigrams"}
    assert sources["lexical"] == SourceHit(rank=1, score=1.0)


def test_a_hybrid_of_real_retrievers_finds_what_either_finds(make_nodes, rules):
    both = make_nodes(rules)
    morphemes = KoreanBM25Retriever.from_nodes(both, analyzers=("morphemes",))
    bigrams = KoreanBM25Retriever.from_nodes(both, analyzers=("bigrams",))
    retriever = HybridRetriever({"morphemes": morphemes, "bigrams": bigrams})
    assert retriever.retrieve("출장비는 언제 청구하나?")[0].node.node_id == "trip"
    assert retriever.retrieve("주차쟝을 쓰는 방문객")[0].node.node_id == "parking"


def test_a_retriever_of_weight_nought_is_not_called(ask, lexical, dense):
    results = ask(HybridRetriever({"lexical": lexical, "dense": dense}, weights={"lexical": 1, "dense": 0}))
    assert dense.bundles == []
    assert [result.node.node_id for result in results] == ["a", "b", "c"]


def test_a_retriever_that_the_weights_do_not_name_is_not_called(ask, lexical, dense):
    ask(HybridRetriever({"lexical": lexical, "dense": dense}, weights={"dense": 1}))
    assert lexical.bundles == []


def test_asking_for_fewer_cuts_the_end(ask, lexical, dense):
    retriever = HybridRetriever({"lexical": lexical, "dense": dense}, similarity_top_k=2)
    assert [result.node.node_id for result in ask(retriever)] == ["a", "c"]


def test_ties_keep_the_order_of_the_first_retriever(ask):
    retrievers = {"first": FakeRetriever([("d", 1.0), ("b", 0.0)]), "second": FakeRetriever([("b", 7.0), ("d", 6.0)])}
    assert [result.node.node_id for result in ask(HybridRetriever(retrievers))] == ["d", "b"]


def test_the_retrievers_run_side_by_side(ask):
    both = threading.Barrier(2)  # breaks where one waits for the other to end
    retrievers = {
        "first": FakeRetriever([("a", 1.0)], barrier=both),
        "second": FakeRetriever([("b", 1.0)], barrier=both),
    }
    assert len(ask(HybridRetriever(retrievers))) == 2


def test_each_retriever_gets_a_fresh_question_without_a_vector(ask, lexical, dense):
    class Embedding(FakeRetriever):
        def _found(self, query_bundle):
            assert query_bundle.embedding is None
            query_bundle.embedding = [1.0, 2.0]
            return super()._found(query_bundle)

    retrievers = {"first": Embedding(lexical.scores), "second": Embedding(dense.scores)}
    question = QueryBundle("과일", custom_embedding_strs=["사과"], embedding=[9.0])
    ask(HybridRetriever(retrievers), question)
    seen = [bundle for one in retrievers.values() for bundle in one.bundles]
    assert len({id(bundle) for bundle in [*seen, question]}) == 3
    assert [bundle.query_str for bundle in seen] == ["과일"] * 2
    assert [bundle.embedding_strs for bundle in seen] == [["사과"]] * 2
    assert question.embedding == [9.0]


def test_the_error_of_a_retriever_is_raised_as_it_is(ask, lexical):
    away = ConnectionError("the vector server is away")
    retriever = HybridRetriever({"lexical": lexical, "dense": FakeRetriever([], error=away)})
    with pytest.raises(ConnectionError) as caught:
        ask(retriever)
    assert caught.value is away


def test_a_node_that_a_foreign_retriever_returns_twice_counts_once_at_its_first_place(ask, dense):
    foreign = Echoing([("b", 8.0), ("b", 2.0), ("a", 4.0), ("b", 1.0)])
    for fusion in ("convex", "rrf"):
        results = ask(HybridRetriever({"foreign": foreign, "dense": dense}, fusion=fusion), QueryBundle("과일"))
        sources = {result.node.node_id: result.sources.get("foreign") for result in results}
        assert sorted(sources) == ["a", "b", "c", "d"]
        assert sources["b"] == SourceHit(rank=1, score=8.0)
        assert sources["a"] == SourceHit(rank=2, score=4.0)


def test_a_foreign_score_of_none_counts_as_nought(ask, lexical):
    results = ask(HybridRetriever({"foreign": FakeRetriever([("d", None)]), "lexical": lexical}, fusion="rrf"))
    assert {result.node.node_id: result.sources for result in results}["d"] == {"foreign": SourceHit(rank=1, score=0.0)}


def test_retrievers_that_find_nothing_give_nothing(ask):
    assert ask(HybridRetriever({"first": FakeRetriever([]), "second": FakeRetriever([])})) == []


@pytest.mark.parametrize(("query", "error"), [("", BlankQuery), (" \u200b\n", BlankQuery), ("과\ud800", InvalidText)])
def test_a_question_that_cannot_be_asked_reaches_no_retriever(ask, lexical, dense, query, error):
    with pytest.raises(error):
        ask(HybridRetriever({"lexical": lexical, "dense": dense}), QueryBundle(query))
    assert lexical.bundles == dense.bundles == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fusion": "rff"}, "did you mean 'rrf'"),
        ({"weights": {"dens": 1.0}}, "did you mean 'dense'"),
        ({"weights": {"dense": -1.0}}, "weights must be 0 or more"),
        ({"weights": {"dense": 0.0}}, "not all 0"),
        ({"normalizations": {"bm25": "max"}}, "no retriever is called 'bm25'"),
        ({"normalizations": {"dense": "maximum"}}, "no normalisation is called 'maximum'"),
        ({"similarity_top_k": 0}, "similarity_top_k must be 1 or more"),
        ({"rrf_k": -1}, "rrf_k must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused_on_construction(lexical, dense, settings, reason):
    with pytest.raises(InvalidSetting, match=reason):
        HybridRetriever({"lexical": lexical, "dense": dense}, **settings)


def test_a_lexical_and_a_dense_retriever_are_joined_with_weights_that_do_not_hurt(ask, lexical, dense):
    retriever = HybridRetriever.from_defaults(lexical, dense, similarity_top_k=3)
    assert retriever.weights == DEFAULT_WEIGHTS == {"lexical": 0.95, "dense": 0.05}
    results = ask(retriever)
    assert [result.node.node_id for result in results] == ["a", "b", "c"]
    assert scores_of(results) == pytest.approx({"a": 0.95, "b": 0.475, "c": 0.05})


def test_joined_retrievers_take_every_other_setting(lexical, dense):
    retriever = HybridRetriever.from_defaults(lexical, dense, weights={"dense": 1.0}, fusion="rrf")
    assert (retriever.weights, retriever.fusion) == ({"lexical": 0.0, "dense": 1.0}, "rrf")


def test_no_retrievers_at_all_are_refused():
    with pytest.raises(InvalidSetting, match="at least one retriever"):
        HybridRetriever({})


def test_the_retrievers_are_traced_as_part_of_the_callers_question(ask, lexical, dense):
    class Recorder(BaseEventHandler):
        events: list[object] = Field(default_factory=list)

        def handle(self, event, **_):
            self.events.append(event)

    recorder = Recorder()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        with instrument_tags({"question": 7}):
            ask(HybridRetriever({"lexical": lexical, "dense": dense}))
    finally:
        dispatcher.event_handlers.remove(recorder)
    starts = [event for event in recorder.events if isinstance(event, RetrievalStartEvent)]
    assert [event.tags for event in starts] == [{"question": 7}] * 3


def test_many_threads_may_ask_at_once(lexical, dense):
    retriever = HybridRetriever({"lexical": lexical, "dense": dense})
    wanted = scores_of(retriever.retrieve("과일"))
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(scores_of(retriever.retrieve("과일")))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [wanted] * 16
