import asyncio
import copy
import json
import logging
import math
from pathlib import Path

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from llama_index_ko_rerank.ranked_node import LegHit, RankedNode
from llama_index_ko_rerank.rerank.postprocessor import CrossEncoderNodePostprocessor

QUESTION = "연차는 누구에게 신청하나"


def scores_of(results):
    return {result.node.node_id: result.score for result in results}


def ids_of(results):
    return [result.node.node_id for result in results]


def handed(*texts, **metadata):
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"n{place}", metadata=dict(metadata)), score=0.5)
        for place, text in enumerate(texts)
    ]


@pytest.fixture
def reranker(model):
    return CrossEncoderNodePostprocessor(model, top_n=10, device="cpu")


@pytest.fixture
def rerank(reranker, found):
    """Rerank the six passages with some settings."""

    def run(nodes=None, question=QUESTION, **settings):
        changed = CrossEncoderNodePostprocessor(reranker.model, **{"top_n": 10, "device": "cpu", **settings})
        return changed.postprocess_nodes(found if nodes is None else nodes, query_str=question)

    return run


class TestScores:
    def test_they_are_the_probabilities_of_sentence_transformers(self, rerank, stock, found):
        texts = {old.node.node_id: old.node.get_content(MetadataMode.EMBED) for old in found}
        wanted = stock.predict([(QUESTION, text) for text in texts.values()], show_progress_bar=False)
        results = rerank()
        assert scores_of(results) == pytest.approx(dict(zip(texts, wanted.tolist(), strict=True)), abs=1e-5)
        assert all(0 <= result.score <= 1 for result in results)

    def test_best_come_first(self, rerank):
        scores = [result.score for result in rerank()]
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == 6

    def test_the_order_of_the_candidates_and_the_batch_change_nothing(self, rerank, found):
        wanted = scores_of(rerank())
        assert scores_of(rerank(found[::-1], batch_size=4)) == pytest.approx(wanted, abs=1e-5)

    def test_equal_passages_keep_the_incoming_order(self, rerank, texts):
        nodes = handed(*[texts[0]] * 7, texts[1], *[texts[0]] * 4)
        tied = [identity for identity in ids_of(rerank(nodes, top_n=20)) if identity != "n7"]
        assert tied == [f"n{place}" for place in range(12) if place != 7]

    def test_at_most_top_n_come_back(self, rerank):
        assert ids_of(rerank(top_n=2)) == ids_of(rerank())[:2]
        assert len(rerank(top_n=100)) == 6

    def test_only_those_at_the_threshold_or_above_come_back(self, rerank):
        results = rerank()
        cut = results[2].score
        assert ids_of(rerank(score_threshold=cut)) == ids_of(results)[:3]
        assert rerank(score_threshold=1.0) == []

    def test_identity_keeps_the_logits(self, rerank):
        probabilities, logits = scores_of(rerank()), rerank(activation="identity")
        assert {name: 1 / (1 + math.exp(-logit)) for name, logit in scores_of(logits).items()} == pytest.approx(
            probabilities, abs=1e-9
        )
        assert ids_of(logits) == ids_of(rerank())

    @pytest.mark.parametrize("activation", ["sigmoid", "identity"])
    def test_passages_with_no_text_score_lowest_and_keep_their_order(self, rerank, texts, activation):
        nodes = handed("", texts[0], " \n\t", texts[1], "\u200b\ufeff")
        results = rerank(nodes, activation=activation)
        assert ids_of(results)[2:] == ["n0", "n2", "n4"]
        assert len({result.score for result in results[2:]}) == 1
        assert results[2].score < results[1].score
        assert all(math.isfinite(result.score) for result in results)

    @pytest.mark.parametrize(("activation", "score"), [("sigmoid", 0.0), ("identity", -1.0)])
    def test_only_passages_with_no_text_come_back_as_they_came(self, rerank, activation, score):
        results = rerank(handed("", " "), activation=activation)
        assert [(result.node.node_id, result.score) for result in results] == [("n0", score), ("n1", score)]

    def test_metadata_are_read_as_asked(self, rerank):
        nodes = handed("신청한다", title="연차")
        with_metadata, without = rerank(nodes)[0].score, rerank(nodes, metadata_mode=MetadataMode.NONE)[0].score
        assert without == pytest.approx(rerank(handed("신청한다"))[0].score, abs=1e-6)
        assert abs(with_metadata - without) > 1e-4

    def test_the_message_of_a_cut_reaches_the_log(self, rerank, texts, caplog):
        with caplog.at_level(logging.WARNING):
            rerank(handed(texts[0], texts[1] * 30))
        assert "1 of 2 passages were cut to 64 tokens" in caplog.text


class TestNodes:
    def test_new_objects_come_back_and_the_old_ones_are_as_they_were(self, rerank, found):
        before, hashes = copy.deepcopy(found), [old.node.hash for old in found]
        results = rerank(keep_retrieval_score=True)
        assert found == before
        assert [old.node.hash for old in found] == hashes
        assert not {id(old) for old in found} & {id(new) for new in results}

    def test_nothing_leaks_into_what_the_llm_reads(self, rerank, found):
        before = {old.node.node_id: (old.node.get_content(MetadataMode.LLM), old.node.hash) for old in found}
        results = rerank(keep_retrieval_score=True)
        assert {new.node.node_id: (new.node.get_content(MetadataMode.LLM), new.node.hash) for new in results} == before

    def test_scores_are_plain_floats_that_json_can_hold(self, rerank):
        for result in rerank(keep_retrieval_score=True):
            assert type(result.score) is float
            assert json.loads(result.to_json())["score"] == result.score

    def test_the_retrieval_score_is_kept_as_a_leg_where_asked_for(self, rerank, found):
        legs = {result.node.node_id: result.legs for result in rerank(keep_retrieval_score=True)}
        assert legs == {
            old.node.node_id: {"retrieval": LegHit(rank=rank, score=old.score)} for rank, old in enumerate(found, 1)
        }

    def test_it_is_not_kept_unless_asked_for(self, rerank):
        assert not any(isinstance(result, RankedNode) for result in rerank())

    @pytest.mark.parametrize("keep", [False, True])
    def test_the_legs_of_a_hybrid_are_kept(self, rerank, found, keep):
        legs = {"lexical": LegHit(rank=2, score=7.0), "dense": LegHit(rank=1, score=0.4)}
        ranked = [RankedNode(node=old.node, score=old.score, legs=legs) for old in found]
        for result in rerank(ranked, keep_retrieval_score=keep):
            assert legs.items() <= result.legs.items()
            assert ("retrieval" in result.legs) is keep

    def test_scores_of_none_are_taken(self, rerank, found):
        bare = [NodeWithScore(node=old.node) for old in found]
        assert scores_of(rerank(bare)) == pytest.approx(scores_of(rerank()), abs=1e-6)


class TestQuestions:
    def test_no_nodes_give_none(self, reranker):
        assert reranker.postprocess_nodes([], query_str=QUESTION) == []

    @pytest.mark.parametrize("question", [None, "", "  ", "\n\u200b"])
    def test_a_missing_or_blank_question_is_refused(self, reranker, found, question):
        with pytest.raises(BlankQuery):
            reranker.postprocess_nodes(found, query_str=question)

    def test_a_missing_question_is_a_value_error_too(self, reranker, found):
        with pytest.raises(ValueError, match="a question is needed"):
            reranker.postprocess_nodes(found)

    def test_lone_surrogates_are_refused_by_name(self, reranker, found):
        with pytest.raises(InvalidText, match="question holds a lone surrogate"):
            reranker.postprocess_nodes(found, query_str="연차\ud800")
        with pytest.raises(InvalidText, match="the text of node 'n1'"):
            reranker.postprocess_nodes(handed("연차", "신청\ud800"), query_str=QUESTION)

    def test_a_bundle_and_a_string_ask_the_same(self, reranker, found):
        assert reranker.postprocess_nodes(found, QueryBundle(QUESTION)) == reranker.postprocess_nodes(
            found, query_str=f" {QUESTION}\u200b"
        )

    def test_the_async_answer_is_the_sync_answer(self, reranker, found):
        wanted = reranker.postprocess_nodes(found, query_str=QUESTION)
        assert asyncio.run(reranker.apostprocess_nodes(found, query_str=QUESTION)) == wanted

    def test_many_async_questions_at_once_get_their_own_answers(self, reranker, found):
        questions = ["연차", "출장비 청구", "회의실 예약 " * 40, "노트북"] * 3

        async def ask_all():
            return await asyncio.gather(
                *(reranker.apostprocess_nodes(found, query_str=question) for question in questions)
            )

        for question, results in zip(questions, asyncio.run(ask_all()), strict=True):
            assert scores_of(results) == pytest.approx(
                scores_of(reranker.postprocess_nodes(found, query_str=question)), abs=1e-5
            )


class TestEvents:
    @pytest.fixture
    def events(self):
        class Recorder(BaseEventHandler):
            seen: list[object] = Field(default_factory=list)

            def handle(self, event, **_):
                self.seen.append(event)

        recorder, dispatcher = Recorder(), get_dispatcher()
        dispatcher.add_event_handler(recorder)
        yield recorder.seen
        dispatcher.event_handlers.remove(recorder)

    @pytest.fixture
    def calls(self):
        return []

    @pytest.fixture
    def recording(self, calls):
        class Recorder(BaseCallbackHandler):
            def __init__(self):
                super().__init__([], [])

            def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **_):
                calls.append(("start", event_type, payload))
                return event_id

            def on_event_end(self, event_type, payload=None, event_id="", **_):
                calls.append(("end", event_type, payload))

            def start_trace(self, trace_id=None):
                pass

            def end_trace(self, trace_id=None, trace_map=None):
                pass

        return CallbackManager([Recorder()])

    def test_a_start_and_an_end_are_told(self, reranker, found, events):
        reranker.top_n = 2
        results = reranker.postprocess_nodes(found, query_str=QUESTION)
        start, end = (event for event in events if isinstance(event, ReRankStartEvent | ReRankEndEvent))
        assert (start.query.query_str, start.top_n, start.model_name) == (QUESTION, 2, reranker.model)
        assert ids_of(start.nodes) == ids_of(found)
        assert end.nodes == results

    def test_callbacks_are_told(self, model, found, recording, calls):
        reranker = CrossEncoderNodePostprocessor(model, top_n=3, callback_manager=recording)
        results = reranker.postprocess_nodes(found, query_str=QUESTION)
        (started, kind, asked), (ended, same_kind, answered) = calls
        assert (started, ended) == ("start", "end")
        assert kind == same_kind == CBEventType.RERANKING
        assert asked[EventPayload.QUERY_STR] == QUESTION
        assert asked[EventPayload.MODEL_NAME] == model
        assert asked[EventPayload.TOP_K] == 3
        assert ids_of(asked[EventPayload.NODES]) == ids_of(found)
        assert answered[EventPayload.NODES] == results

    def test_an_engine_may_assign_the_callbacks_later(self, reranker, found, recording, calls):
        reranker.callback_manager = recording
        reranker.postprocess_nodes(found, query_str=QUESTION)
        assert [kind for _, kind, _ in calls] == [CBEventType.RERANKING] * 2

    def test_a_refused_question_starts_nothing(self, reranker, found, events, recording, calls):
        reranker.callback_manager = recording
        with pytest.raises(BlankQuery):
            reranker.postprocess_nodes(found, query_str=" ")
        assert calls == []
        assert not [event for event in events if isinstance(event, ReRankStartEvent)]


class TestSettings:
    def test_the_defaults_are_the_documented_ones(self, model):
        reranker = CrossEncoderNodePostprocessor(model)
        assert (reranker.top_n, reranker.batch_size, reranker.activation) == (5, 16, "sigmoid")
        assert reranker.metadata_mode is MetadataMode.EMBED
        assert not reranker.trust_remote_code
        assert not reranker.local_files_only

    def test_a_path_is_a_model_too(self, model):
        assert CrossEncoderNodePostprocessor(Path(model)).model == model

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"topn": 3}, "no setting 'topn'; did you mean 'top_n'"),
            ({"model_name": "x"}, "did you mean 'model'"),
            ({"top_n": 0}, "top_n must be a whole number of 1 or more, not 0"),
            ({"top_n": -1}, "top_n must be a whole number of 1 or more"),
            ({"top_n": 2.5}, "top_n must be a whole number of 1 or more"),
            ({"top_n": "3"}, "top_n must be a whole number of 1 or more"),
            ({"batch_size": 0}, "batch_size must be a whole number of 1 or more"),
            ({"max_length": 8}, "max_length must be 16 or more, not 8"),
            ({"max_length": 65}, "beyond the 64 positions"),
            ({"activation": "softmax"}, "activation='softmax'"),
            ({"metadata_mode": "every"}, "metadata_mode='every'"),
            ({"score_threshold": "high"}, "score_threshold='high'"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused_on_construction(self, model, settings, reason):
        with pytest.raises(InvalidSetting, match=reason):
            CrossEncoderNodePostprocessor(model, **settings)

    def test_a_wrong_setting_is_told_before_any_model_is_loaded(self):
        with pytest.raises(InvalidSetting, match="did you mean 'top_n'"):
            CrossEncoderNodePostprocessor("nobody/no-such-model", topn=3)


class TestRoundTrips:
    @pytest.fixture
    def special(self, model):
        return CrossEncoderNodePostprocessor(
            model,
            top_n=4,
            max_length=48,
            batch_size=2,
            score_threshold=0.01,
            activation="identity",
            metadata_mode=MetadataMode.NONE,
            keep_retrieval_score=True,
        )

    def test_a_dictionary_makes_the_same_reranker(self, special, found):
        again = CrossEncoderNodePostprocessor.from_dict(special.to_dict())
        assert again.to_dict() == special.to_dict()
        assert again.postprocess_nodes(found, query_str=QUESTION) == special.postprocess_nodes(
            found, query_str=QUESTION
        )

    def test_json_makes_the_same_reranker(self, special, found):
        again = CrossEncoderNodePostprocessor.from_json(special.to_json())
        assert again.to_dict() == special.to_dict()
        assert again.postprocess_nodes(found, query_str=QUESTION) == special.postprocess_nodes(
            found, query_str=QUESTION
        )

    def test_the_json_holds_the_class_and_only_plain_values(self, special):
        written = json.loads(special.to_json())
        assert written["class_name"] == "CrossEncoderNodePostprocessor"
        assert written["metadata_mode"] == "none"
        assert all(isinstance(value, str | int | float | None) for value in written.values())

    def test_a_copy_scores_the_same(self, special, found):
        assert special.model_copy().postprocess_nodes(found, query_str=QUESTION) == special.postprocess_nodes(
            found, query_str=QUESTION
        )
