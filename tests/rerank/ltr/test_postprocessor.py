import asyncio
import copy
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText, ModelNotFound, UnsuitableModel
from llama_index_ko_rerank.rerank.ltr.features import CROSS_ENCODER, DENSE, LEXICAL, FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import fit_ranker
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.types import SourceHit, sources_of
from tests.corpora.ranking import QUESTIONS, TEXTS, examples, fitted, searcher

QUESTION = "솔빛도서관은 언제 문을 열었나요?"


class ByLength:
    """A judge that likes long passages."""

    def logits(self, query, texts):
        return np.array([float(len(text)) for text in texts])


def ids_of(results):
    return [result.node.node_id for result in results]


def scores_of(results):
    return {result.node.node_id: result.score for result in results}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "ltr.json"
    path.write_text(fitted().to_json(), encoding="utf-8")
    return str(path)


@pytest.fixture
def found():
    return searcher().retrieve(QUESTION)


@pytest.fixture
def everything():
    return [NodeWithScore(node=TextNode(id_=name, text=text), score=0.5) for name, text in TEXTS.items()]


@pytest.fixture
def reranker(weights):
    return LearningToRankPostprocessor.from_index(searcher().lexical_index, weights=weights, top_n=10)


@pytest.fixture
def make(weights):
    def run(**settings):
        return LearningToRankPostprocessor.from_index(
            searcher().lexical_index, **{"weights": weights, "top_n": 10, **settings}
        )

    return run


class TestScores:
    @pytest.mark.parametrize(("question", "answer"), QUESTIONS.items())
    def test_the_answer_comes_first_for_what_it_was_fitted_on(self, reranker, question, answer):
        found = searcher().retrieve(question)
        if answer in ids_of(found):
            assert ids_of(reranker.postprocess_nodes(found, query_str=question))[0] == answer

    def test_they_are_probabilities_that_add_up_to_1(self, reranker, everything):
        results = reranker.postprocess_nodes(everything, query_str=QUESTION)
        assert sum(result.score for result in results) == pytest.approx(1)
        assert [result.score for result in results] == sorted((r.score for r in results), reverse=True)
        assert all(type(result.score) is float for result in results)

    def test_equal_passages_keep_the_incoming_order(self, reranker):
        nodes = [NodeWithScore(node=TextNode(id_=f"n{place}", text=TEXTS["loan"])) for place in range(9)]
        nodes.insert(4, NodeWithScore(node=TextNode(id_="other", text=TEXTS["opening"])))
        tied = [name for name in ids_of(reranker.postprocess_nodes(nodes, query_str=QUESTION)) if name != "other"]
        assert tied == [f"n{place}" for place in range(9)]

    def test_at_most_top_n_come_back(self, make, everything):
        whole = make().postprocess_nodes(everything, query_str=QUESTION)
        assert make(top_n=3).postprocess_nodes(everything, query_str=QUESTION) == whole[:3]

    def test_what_is_beyond_the_candidates_stays_below_in_its_order_with_0(self, make, everything):
        results = make(candidates=4).postprocess_nodes(everything, query_str=QUESTION)
        assert ids_of(results)[4:] == ids_of(everything)[4:]
        assert [result.score for result in results[4:]] == [0.0] * 6
        assert set(ids_of(results)[:4]) == set(ids_of(everything)[:4])
        assert all(result.score > 0 for result in results[:4])

    def test_one_node_is_certain(self, reranker, everything):
        assert reranker.postprocess_nodes(everything[:1], query_str=QUESTION)[0].score == 1.0


class TestNodes:
    def test_new_objects_come_back_and_the_old_ones_are_as_they_were(self, make, found):
        before, hashes = copy.deepcopy(found), [old.node.hash for old in found]
        results = make(keep_retrieval_score=True).postprocess_nodes(found, query_str=QUESTION)
        assert found == before
        assert [old.node.hash for old in found] == hashes
        assert not {id(old) for old in found} & {id(new) for new in results}

    def test_nothing_leaks_into_what_the_llm_reads(self, make, found):
        before = {old.node.node_id: old.node.get_content(MetadataMode.LLM) for old in found}
        results = make(keep_retrieval_score=True).postprocess_nodes(found, query_str=QUESTION)
        assert {new.node.node_id: new.node.get_content(MetadataMode.LLM) for new in results} == before

    def test_the_retrieval_score_is_kept_as_a_leg_where_asked_for(self, make, found):
        kept = make(keep_retrieval_score=True).postprocess_nodes(found, query_str=QUESTION)
        ranks = {old.node.node_id: rank for rank, old in enumerate(found, 1)}
        for result in kept:
            assert sources_of(result)["retrieval"].rank == ranks[result.node.node_id]
        plain = make().postprocess_nodes(found, query_str=QUESTION)
        assert not any("retrieval" in sources_of(result) for result in plain)

    def test_nodes_that_the_index_lacks_are_ranked_too(self, reranker, everything):
        wanted = scores_of(reranker.postprocess_nodes(everything, query_str=QUESTION))
        copies = [NodeWithScore(node=TextNode(id_=f"copy {n.node.node_id}", text=n.node.text)) for n in everything]
        results = reranker.postprocess_nodes(copies, query_str=QUESTION)
        assert {name.removeprefix("copy "): score for name, score in scores_of(results).items()} == pytest.approx(
            wanted, abs=1e-4
        )


class TestQuestions:
    def test_no_nodes_give_none(self, reranker):
        assert reranker.postprocess_nodes([], query_str=QUESTION) == []

    @pytest.mark.parametrize("question", [None, "", "  ", "\n\u200b"])
    def test_a_missing_or_blank_question_is_refused(self, reranker, found, question):
        with pytest.raises(BlankQuery):
            reranker.postprocess_nodes(found, query_str=question)

    def test_lone_surrogates_are_refused_by_name(self, reranker, found):
        with pytest.raises(InvalidText, match="question holds a lone surrogate"):
            reranker.postprocess_nodes(found, query_str="책\ud800")

    def test_a_bundle_and_a_string_ask_the_same(self, reranker, found):
        wanted = reranker.postprocess_nodes(found, QueryBundle(QUESTION))
        assert reranker.postprocess_nodes(found, query_str=f" {QUESTION}\u200b") == wanted

    def test_the_async_answer_is_the_sync_answer(self, reranker, found):
        wanted = reranker.postprocess_nodes(found, query_str=QUESTION)
        assert asyncio.run(reranker.apostprocess_nodes(found, query_str=QUESTION)) == wanted

    def test_threads_get_their_own_answers(self, reranker, everything):
        def ask(question):
            return ids_of(reranker.postprocess_nodes(everything, query_str=question))

        wanted = {question: ask(question) for question in QUESTIONS}
        with ThreadPoolExecutor(8) as pool:
            asked = list(QUESTIONS) * 10
            assert list(pool.map(ask, asked)) == [wanted[question] for question in asked]

    def test_the_index_may_change_while_others_ask(self, weights, everything):
        retriever = KoreanBM25Retriever.from_nodes([found.node for found in everything], similarity_top_k=10)
        reranker = LearningToRankPostprocessor.from_index(retriever.lexical_index, weights=weights, top_n=10)
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(reranker.postprocess_nodes, everything, query_str=question)
                for question in list(QUESTIONS) * 10
            ]
            for round_number in range(10):
                retriever.add([TextNode(id_=f"new{round_number}", text=f"새 책 {round_number}권을 들였다")])
                retriever.delete(["loan", f"new{round_number - 1}"])
            assert {len(task.result()) for task in asked} == {10}


class TestOtherJudges:
    def _saved(self, tmp_path, feature_sets, **judges):
        extractor = FeatureExtractor(searcher().lexical_index, feature_sets=feature_sets, **judges)
        ranker = fit_ranker(examples(extractor), feature_sets=feature_sets, hidden=4, restarts=1, epochs=3)
        path = tmp_path / "more.json"
        path.write_text(ranker.to_json(), encoding="utf-8")
        return str(path)

    def test_weights_fitted_without_an_embedding_score_the_same_where_one_is_there(self, reranker, found):
        wanted = scores_of(reranker.postprocess_nodes(found, query_str=QUESTION))
        for number, node in enumerate(found):
            node.sources["dense"] = SourceHit(rank=number + 1, score=0.1 * number)
        assert scores_of(reranker.postprocess_nodes(found, query_str=QUESTION)) == wanted

    def test_weights_fitted_with_a_leg_read_it_and_need_its_name(self, tmp_path, found):
        weights = self._saved(tmp_path, [LEXICAL, DENSE], dense_retriever="bigrams")
        index = searcher().lexical_index
        with pytest.raises(InvalidSetting, match="needs dense_retriever"):
            LearningToRankPostprocessor.from_index(index, weights=weights)
        reranker = LearningToRankPostprocessor.from_index(index, weights=weights, dense_retriever="bigrams", top_n=10)
        before = scores_of(reranker.postprocess_nodes(found, query_str=QUESTION))
        for node in found:
            node.sources.pop("bigrams")
        assert scores_of(reranker.postprocess_nodes(found, query_str=QUESTION)) != before

    def test_weights_fitted_with_a_cross_encoder_need_one(self, tmp_path, found):
        weights = self._saved(tmp_path, [LEXICAL, CROSS_ENCODER], scorer=ByLength())
        index = searcher().lexical_index
        with pytest.raises(InvalidSetting, match="needs a scorer"):
            LearningToRankPostprocessor.from_index(index, weights=weights)
        reranker = LearningToRankPostprocessor.from_index(index, scorer=ByLength(), weights=weights, top_n=10)
        assert len(reranker.postprocess_nodes(found, query_str=QUESTION)) == len(found)


class TestExplaining:
    def test_the_contributions_add_up_and_the_order_is_that_of_the_results(self, reranker, everything):
        explained = reranker.explain(QUESTION, everything)
        results = reranker.postprocess_nodes(everything, query_str=QUESTION)
        assert [one.node_id for one in explained] == ids_of(results)
        assert [one.probability for one in explained] == [result.score for result in results]
        for better, worse in pairwise(explained):
            assert better.score - worse.score == pytest.approx(np.log(better.probability / worse.probability), abs=1e-6)
            assert sum(one.contribution for one in better.features) == pytest.approx(better.score)

    def test_every_feature_is_there_those_that_matter_most_first(self, reranker, everything):
        for one in reranker.explain(QUESTION, everything):
            sizes = [abs(feature.contribution) for feature in one.features]
            assert sizes == sorted(sizes, reverse=True)
            assert {feature.name for feature in one.features} == set(fitted().feature_names)

    def test_only_the_candidates_are_explained(self, make, everything):
        assert len(make(candidates=3).explain(QUESTION, everything)) == 3
        assert make().explain(QUESTION, []) == []

    def test_a_blank_question_is_refused(self, reranker, everything):
        with pytest.raises(BlankQuery):
            reranker.explain(" ", everything)


class TestEvents:
    def test_start_end_and_callbacks_are_told(self, make, found):
        calls = []

        class Events(BaseEventHandler):
            seen: list[object] = Field(default_factory=list)

            def handle(self, event, **_):
                self.seen.append(event)

        class Callbacks(BaseCallbackHandler):
            def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **_):
                calls.append((event_type, payload))
                return event_id

            def on_event_end(self, event_type, payload=None, event_id="", **_):
                calls.append((event_type, payload))

            def start_trace(self, trace_id=None):
                pass

            def end_trace(self, trace_id=None, trace_map=None):
                pass

        events, dispatcher = Events(), get_dispatcher()
        dispatcher.add_event_handler(events)
        try:
            reranker = make(top_n=2, callback_manager=CallbackManager([Callbacks([], [])]))
            results = reranker.postprocess_nodes(found, query_str=QUESTION)
        finally:
            dispatcher.event_handlers.remove(events)
        start, end = (event for event in events.seen if isinstance(event, ReRankStartEvent | ReRankEndEvent))
        assert (start.query.query_str, start.top_n) == (QUESTION, 2)
        assert start.model_name == f"learning-to-rank:{reranker.weights}"
        assert end.nodes == results
        assert [kind for kind, _ in calls] == [CBEventType.RERANKING] * 2
        assert calls[0][1][EventPayload.TOP_K] == 2
        assert calls[1][1][EventPayload.NODES] == results


class TestSettings:
    def test_the_defaults_are_the_documented_ones(self):
        reranker = LearningToRankPostprocessor.from_index(searcher().lexical_index)
        assert (reranker.top_n, reranker.candidates, reranker.weights) == (5, 30, "default")
        assert not reranker.keep_retrieval_score

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"top_n": 0}, "top_n=0: .* greater than or equal to 1"),
            ({"candidates": 0}, "candidates=0: .* greater than or equal to 1"),
            ({"metadata_mode": "every"}, "metadata_mode='every'"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused_on_construction(self, make, settings, reason):
        with pytest.raises(InvalidSetting, match=reason):
            make(**settings)

    def test_weights_that_are_not_there_are_told(self, make, tmp_path):
        with pytest.raises(ModelNotFound, match="nowhere"):
            make(weights=str(tmp_path / "nowhere.json"))

    def test_weights_of_other_tokens_are_refused(self, make, tmp_path):
        values = json.loads(fitted().to_json())
        values["tokenizers"]["morphemes"] = "morphemes/2 kiwi=9"
        path = tmp_path / "other.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(UnsuitableModel, match="fitted on morphemes/2, this index has morphemes/1"):
            make(weights=str(path))

    def test_words_of_the_users_own_are_no_other_tokens(self, weights):
        nodes = [TextNode(id_="a", text=TEXTS["opening"])]
        retriever = KoreanBM25Retriever.from_nodes(nodes, user_words=[("솔빛도서관", "NNP")])
        reranker = LearningToRankPostprocessor.from_index(retriever.lexical_index, weights=weights)
        assert len(reranker.postprocess_nodes(retriever.retrieve(QUESTION), query_str=QUESTION)) == 1


class TestRoundTrips:
    def test_settings_survive_and_the_index_is_attached_again(self, make, found):
        special = make(top_n=4, candidates=7, keep_retrieval_score=True, metadata_mode=MetadataMode.NONE)
        wanted = special.postprocess_nodes(found, query_str=QUESTION)
        for again in (
            LearningToRankPostprocessor.from_dict(special.to_dict()),
            LearningToRankPostprocessor.from_json(special.to_json()),
        ):
            assert again.to_dict() == special.to_dict()
            with pytest.raises(InvalidSetting, match="no lexical index to read"):
                again.postprocess_nodes(found, query_str=QUESTION)
            again.attach(searcher().lexical_index)
            assert again.postprocess_nodes(found, query_str=QUESTION) == wanted
