import asyncio
import copy
import inspect
import json
import logging
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.errors import BlankQuery, InvalidSetting, InvalidText
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.types import RankedNode, SourceHit

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


def pickled(component):
    return pickle.loads(pickle.dumps(component))  # noqa: S301  # bytes of our own


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
        assert scores_of(rerank(found[::-1], max_batch_tokens=40)) == pytest.approx(wanted, abs=1e-5)

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

    def test_passages_with_no_text_are_counted(self, rerank, texts, caplog):
        with caplog.at_level(logging.WARNING):
            rerank(handed("", texts[0], " \n\t"))
        assert caplog.messages == ["2 of 3 passages have no text and score lowest"]

    def test_the_threshold_is_a_probability_whatever_the_score_is(self, rerank, found):
        results = rerank()
        cut = results[2].score
        assert ids_of(rerank(score_threshold=cut, activation="identity")) == ids_of(results)[:3]
        mixed = rerank(found[::-1], score_threshold=cut, retrieval_weight=0.9)
        assert set(ids_of(mixed)) == set(ids_of(results)[:3])
        assert rerank(handed(""), score_threshold=0.1) == []

    def test_metadata_are_read_as_asked(self, rerank):
        nodes = handed("신청한다", title="연차")
        with_metadata, without = rerank(nodes)[0].score, rerank(nodes, metadata_mode=MetadataMode.NONE)[0].score
        assert without == pytest.approx(rerank(handed("신청한다"))[0].score, abs=1e-6)
        assert abs(with_metadata - without) > 1e-4

    def test_the_message_of_a_cut_reaches_the_log(self, rerank, texts, caplog):
        with caplog.at_level(logging.WARNING):
            rerank(handed(texts[0], texts[1] * 30), overflow="truncate", max_length=63)
        assert "1 of 2 passages were cut to 63 tokens" in caplog.text


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
        legs = {result.node.node_id: result.sources for result in rerank(keep_retrieval_score=True)}
        assert legs == {
            old.node.node_id: {"retrieval": SourceHit(rank=rank, score=old.score)} for rank, old in enumerate(found, 1)
        }

    def test_it_is_not_kept_unless_asked_for(self, rerank):
        assert not any(isinstance(result, RankedNode) for result in rerank())

    @pytest.mark.parametrize("keep", [False, True])
    def test_the_sources_of_a_hybrid_are_kept(self, rerank, found, keep):
        legs = {"lexical": SourceHit(rank=2, score=7.0), "dense": SourceHit(rank=1, score=0.4)}
        ranked = [RankedNode(node=old.node, score=old.score, sources=legs) for old in found]
        for result in rerank(ranked, keep_retrieval_score=keep):
            assert legs.items() <= result.sources.items()
            assert ("retrieval" in result.sources) is keep

    def test_scores_of_none_are_taken(self, rerank, found):
        bare = [NodeWithScore(node=old.node) for old in found]
        assert scores_of(rerank(bare)) == pytest.approx(scores_of(rerank()), abs=1e-6)


class TestBlending:
    def test_the_score_is_the_share_of_each_worked_by_hand(self, rerank, found):
        probabilities = scores_of(rerank())
        # The six retrieval scores are 0.9, 0.8, ... 0.4: in their range 1, 0.8, ... 0.
        wanted = {f"n{place}": 0.3 * (1 - place / 5) + 0.7 * probabilities[f"n{place}"] for place in range(6)}
        assert scores_of(rerank(retrieval_weight=0.3)) == pytest.approx(wanted, abs=1e-6)

    def test_all_of_the_retrieval_score_keeps_its_order(self, rerank, found):
        assert ids_of(rerank(retrieval_weight=1.0)) == ids_of(found)

    def test_a_passage_with_no_text_is_last_however_well_it_was_retrieved(self, rerank, texts):
        nodes = handed("", texts[0], texts[1])
        nodes[0].score = 99.0
        results = rerank(nodes, retrieval_weight=0.9)
        assert (results[-1].node.node_id, results[-1].score) == ("n0", 0.0)

    @pytest.mark.parametrize("score", [None, float("nan")])
    def test_a_node_without_a_retrieval_score_is_named(self, rerank, found, score):
        found[2].score = score
        with pytest.raises(InvalidSetting, match="needs a retrieval score of every node; node 'n2' has"):
            rerank(retrieval_weight=0.5)


class TestSeveralLabels:
    def test_the_scores_are_the_probabilities_of_the_label_that_is_named(self, save_bert, tmp_path, found):
        folder = str(save_bert(tmp_path / "three", num_labels=3, id2label={0: "무관", 1: "일부", 2: "정답"}))
        pairs = [(QUESTION, old.node.get_content(MetadataMode.EMBED)) for old in found]
        wanted = CrossEncoder(folder, device="cpu").predict(pairs, apply_softmax=True, show_progress_bar=False)
        reranker = CrossEncoderNodePostprocessor(folder, top_n=10, device="cpu", label="정답")
        results = reranker.postprocess_nodes(found, query_str=QUESTION)
        assert scores_of(results) == pytest.approx(
            {old.node.node_id: float(row[2]) for old, row in zip(found, wanted, strict=True)}, abs=1e-5
        )
        assert CrossEncoderNodePostprocessor.from_dict(reranker.to_dict()).label == "정답"
        with pytest.raises(InvalidSetting, match=r"has no label '정담'; .*known: 무관, 일부, 정답"):
            CrossEncoderNodePostprocessor(folder, label="정담")


class TestLongPassages:
    @pytest.fixture
    def long_node(self, texts):
        body = "\u200b" + ". ".join(texts * 4) + ".  "
        return NodeWithScore(node=TextNode(text=body, id_="long", metadata={"제목": "규정"}), score=0.5)

    def test_the_best_window_is_told_in_characters_of_the_nodes_own_text(self, rerank, long_node, found):
        results = {result.node.node_id: result for result in rerank([long_node, found[1]])}
        start, end = results["long"].window
        text = long_node.node.text[start:end]
        assert 0 < len(text) < len(long_node.node.text)
        alone = rerank(handed(text), metadata_mode=MetadataMode.NONE)
        if start > 0:  # a window that does not begin with the metadata
            assert results["long"].score == pytest.approx(alone[0].score, abs=1e-5)
        assert not isinstance(results["n1"], RankedNode)

    def test_neither_the_llm_nor_the_hash_sees_the_window(self, rerank, long_node):
        before = (long_node.node.get_content(MetadataMode.LLM), long_node.node.hash)
        (result,) = rerank([long_node])
        assert result.window
        assert (result.node.get_content(MetadataMode.LLM), result.node.hash) == before

    def test_a_cut_passage_says_how_far_it_was_read(self, rerank, long_node):
        (result,) = rerank([long_node], overflow="truncate", metadata_mode=MetadataMode.NONE)
        start, end = result.window
        assert start == 0
        assert end < len(long_node.node.text) / 2


class TestCascade:
    def test_the_list_is_that_of_32_bits(self, rerank, texts):
        words = " ".join(texts).split()
        nodes = handed(*(" ".join(words[place:] + words[:place])[: 20 + 3 * place] for place in range(len(words))))
        for question in ("연차", "출장비 청구", "회의실", "노트북은 언제", "주차장", "점심 식대", "방문객", "총무팀"):
            exact = rerank(nodes, question, top_n=4, retrieval_weight=0.2)
            cascaded = rerank(nodes, question, top_n=4, retrieval_weight=0.2, cascade=True)
            assert ids_of(cascaded) == ids_of(exact)
            assert scores_of(cascaded) == pytest.approx(scores_of(exact), abs=1e-5)


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

    def test_an_async_question_tells_the_same(self, reranker, found, events, recording, calls):
        reranker.callback_manager = recording
        results = asyncio.run(reranker.apostprocess_nodes(found, query_str=QUESTION))
        start, end = (event for event in events if isinstance(event, ReRankStartEvent | ReRankEndEvent))
        assert (ids_of(start.nodes), end.nodes) == (ids_of(found), results)
        assert [what for what, _, _ in calls] == ["start", "end"]
        assert calls[1][2] == {EventPayload.NODES: results}
        with pytest.raises(BlankQuery):
            asyncio.run(reranker.apostprocess_nodes(found, query_str=" "))
        assert asyncio.run(reranker.apostprocess_nodes([], query_str=QUESTION)) == []
        assert len(calls) == 2

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
        assert (reranker.top_n, reranker.activation, reranker.retrieval_weight) == (5, "sigmoid", 0.0)
        assert (reranker.dtype, reranker.overflow, reranker.backend) == ("float32", "window", "unpadded")
        assert (reranker.max_batch_tokens, reranker.max_length, reranker.label) == (None, None, None)
        assert reranker.metadata_mode is MetadataMode.EMBED
        assert not reranker.trust_remote_code
        assert not reranker.local_files_only

    @pytest.mark.parametrize("component", [CrossEncoderNodePostprocessor, LearningToRankPostprocessor])
    def test_every_field_is_a_keyword_with_its_default(self, component):
        parameters = inspect.signature(component).parameters
        assert parameters.keys() == component.model_fields.keys()
        assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name in component.model_fields.keys() - {"callback_manager"}:
            assert parameters[name].default == component.model_fields[name].default
            assert name == "model" or parameters[name].kind is inspect.Parameter.KEYWORD_ONLY

    def test_a_path_is_a_model_too(self, model):
        assert CrossEncoderNodePostprocessor(Path(model)).model == model

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"top_n": 0}, "top_n=0: .* greater than or equal to 1"),
            ({"top_n": -1}, "top_n=-1: .* greater than or equal to 1"),
            ({"top_n": 2.5}, "top_n=2.5: .* valid integer"),
            ({"top_n": "3"}, "top_n='3': .* valid integer"),
            ({"max_batch_tokens": 0}, "max_batch_tokens must be 1 or more, not 0"),
            ({"max_batch_tokens": "many"}, "max_batch_tokens='many'"),
            ({"dtype": "float16"}, "dtype='float16'"),
            ({"cascade": True, "dtype": "bfloat16"}, "a cascade ends in float32"),
            ({"overflow": "drop"}, "overflow='drop'"),
            ({"score_threshold": 1.5}, "score_threshold=1.5: .* less than or equal to 1"),
            ({"retrieval_weight": -0.1}, "retrieval_weight=-0.1: .* greater than or equal to 0"),
            ({"retrieval_weight": 0.5, "activation": "identity"}, "retrieval_weight mixes probabilities"),
            ({"label": "정답"}, "leave label None"),
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

    def test_a_wrong_setting_is_reported_before_any_model_is_loaded(self):
        with pytest.raises(InvalidSetting, match="top_n=0"):
            CrossEncoderNodePostprocessor("nobody/no-such-model", top_n=0)

    @pytest.mark.parametrize("unknown", ["topn", "model_name", "batch_size"])
    def test_an_unknown_setting_is_a_type_error_as_of_any_function(self, model, unknown):
        with pytest.raises(TypeError, match=unknown):
            CrossEncoderNodePostprocessor(model, **{unknown: 3})


class TestRoundTrips:
    @pytest.fixture
    def special(self, model):
        return CrossEncoderNodePostprocessor(
            model,
            top_n=4,
            max_length=48,
            max_batch_tokens=100,
            dtype="bfloat16",
            overflow="truncate",
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

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
    def test_copies_and_pickles_have_the_settings_and_share_the_model(self, special, found, duplicate):
        again = duplicate(special)
        assert again.to_dict() == special.to_dict()
        assert again._scorer is special._scorer
        again.top_n = 1
        assert (len(again.postprocess_nodes(found, query_str=QUESTION)), special.top_n) == (1, 4)

    def test_a_copy_scores_the_same(self, special, found):
        assert special.model_copy().postprocess_nodes(found, query_str=QUESTION) == special.postprocess_nodes(
            found, query_str=QUESTION
        )


class TestForks:
    SCRIPT = """
import os, sys
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_ko_rerank import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.errors import ModelError
nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("연차", "출장비")]
reranker = CrossEncoderNodePostprocessor(sys.argv[1], device="cpu")
reranker.postprocess_nodes(nodes, query_str="연차")
if os.fork() == 0:
    refused = []
    for attempt in (
        lambda: reranker.postprocess_nodes(nodes, query_str="출장비"),
        lambda: CrossEncoderNodePostprocessor(sys.argv[1], device="cpu"),
    ):
        try:
            attempt()
        except ModelError as problem:
            refused.append("was forked from process" in str(problem))
    os._exit(0 if refused == [True, True] else 1)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]) or len(reranker.postprocess_nodes(nodes, query_str="청구")) - 2)
"""

    def test_a_forked_process_is_refused_and_the_first_one_goes_on(self, model):
        done = subprocess.run([sys.executable, "-c", self.SCRIPT, model], timeout=120, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
