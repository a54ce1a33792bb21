"""Questions go through their steps, in turn and at once, over a forward that is slow on demand and breaks on a word."""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from llama_index_ko_rerank.errors import InvalidText, UnsuitableModel
from llama_index_ko_rerank.rerank.cross_encoder.batching import ForwardQueue
from llama_index_ko_rerank.rerank.cross_encoder.scoring import PairScoringPipeline, run_async, run_sync
from llama_index_ko_rerank.rerank.cross_encoder.tokenization import WarnOnce, pair_encoder

QUESTIONS = ["연차", "출장비 청구", "회의실 예약", "점심 식대", "노트북", "주차장", "총무팀", "방문객"]


class Weighted:
    """The logit of a pair is a weighted sum of its token ids; NaN where it holds the breaking token."""

    backend, dtype = "unpadded", "float32"

    def __init__(self, breaking):
        self.breaking, self.sizes = breaking, []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()

    def logits(self, pairs):
        self.begun.set()
        self.gate.wait(20)
        self.sizes.append(len(pairs))
        return np.array([[self._logit(pair.token_ids)] for pair in pairs], np.float32)

    def _logit(self, ids):
        return np.nan if self.breaking in ids else float(np.sin(ids * np.arange(1, len(ids) + 1)).sum())


@pytest.fixture
def forward(tokenizer):
    return Weighted(tokenizer("바다거북", add_special_tokens=False)["input_ids"][0])


@pytest.fixture
def new_pipeline(tokenizer, forward):
    def make():
        maker = pair_encoder(
            tokenizer,
            max_length=64,
            overflow="window",
            warnings=WarnOnce(logging.getLogger("llama_index_ko_rerank.test")),
        )
        return PairScoringPipeline("모형", maker, label=0, exact=forward)

    return make


@pytest.fixture
def pipeline(new_pipeline):
    return new_pipeline()


@pytest.fixture
def queue():
    return ForwardQueue()


def steps(pipeline, question, passages):
    return pipeline.steps(question, passages, top_n=None, transform=lambda logits: logits)


@pytest.fixture
def wanted(new_pipeline, texts):
    """What each question gets in turn."""
    return [run_sync(steps(new_pipeline(), question, texts), ForwardQueue()).logits for question in QUESTIONS]


def test_questions_from_many_threads_share_forwards_and_get_their_own_logits(pipeline, queue, forward, texts, wanted):
    forward.sizes.clear()
    forward.begun.clear()
    forward.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(lambda question=question: run_sync(steps(pipeline, question, texts), queue))
            for question in QUESTIONS
        ]
        assert forward.begun.wait(10)
        time.sleep(0.2)
        forward.gate.set()
    for run, logits in zip(runs, wanted, strict=True):
        assert run.result().logits == pytest.approx(logits, abs=1e-6)
    assert sum(forward.sizes) == 48
    assert len(forward.sizes) < 8


def test_the_event_loop_goes_on_while_the_model_works(pipeline, queue, forward, texts, wanted):
    forward.sizes.clear()
    forward.begun.clear()
    forward.gate.clear()

    async def ask_and_tick():
        asked = [asyncio.create_task(run_async(steps(pipeline, question, texts), queue)) for question in QUESTIONS]
        while not forward.begun.is_set():
            await asyncio.sleep(0.005)
        assert forward.sizes == []  # a loop that waited for the forward would find it done, after 20 s
        forward.gate.set()
        return await asyncio.gather(*asked)

    results = asyncio.run(ask_and_tick())
    for scored, logits in zip(results, wanted, strict=True):
        assert scored.logits == pytest.approx(logits, abs=1e-6)


def test_a_cancelled_question_is_not_computed_and_takes_nothing_from_the_others(
    pipeline, queue, forward, texts, wanted
):
    forward.sizes.clear()
    forward.begun.clear()
    forward.gate.clear()

    async def ask_and_cancel():
        first = asyncio.create_task(run_async(steps(pipeline, QUESTIONS[0], texts), queue))
        while not forward.begun.is_set():
            await asyncio.sleep(0.01)
        rest = [asyncio.create_task(run_async(steps(pipeline, question, texts), queue)) for question in QUESTIONS[1:]]
        await asyncio.sleep(0.3)
        for task in (first, *rest[::2]):
            task.cancel()
        await asyncio.sleep(0.01)
        forward.gate.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answers = asyncio.run(ask_and_cancel())
    cancelled = [0, *range(1, 8, 2)]
    for place, answer in enumerate(answers):
        if place in cancelled:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert answer.logits == pytest.approx(wanted[place], abs=1e-6)
    assert sum(forward.sizes) == 6 * (1 + 3)
    again = run_sync(steps(pipeline, QUESTIONS[1], texts), queue)
    assert again.logits == pytest.approx(wanted[1], abs=1e-6)


def test_a_passage_without_a_number_fails_its_own_question_only(pipeline, queue, forward, texts, wanted):
    forward.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(
                run_sync, steps(pipeline, question, [*texts, *(["바다거북 이야기"] if place == 3 else [])]), queue
            )
            for place, question in enumerate(QUESTIONS)
        ]
        time.sleep(0.2)
        forward.gate.set()
    with pytest.raises(UnsuitableModel, match="'모형' gives the logit nan for the passage '바다거북 이야기'"):
        runs[3].result()
    for place in (0, 1, 2, 4, 5, 6, 7):
        assert runs[place].result().logits == pytest.approx(wanted[place], abs=1e-6)


def test_a_text_that_no_tokenizer_can_read_is_refused_before_any_forward(pipeline, queue, forward, texts):
    for question, passages in (("연차\ud800", texts), ("연차", [texts[0], "신청\ud800"])):
        with pytest.raises(InvalidText):
            run_sync(steps(pipeline, question, passages), queue)
        with pytest.raises(InvalidText):
            asyncio.run(run_async(steps(pipeline, question, passages), queue))
    assert forward.sizes == []


def test_no_passages_need_no_forward(pipeline, queue, forward):
    scored = run_sync(steps(pipeline, "연차", []), queue)
    assert (scored.logits.shape, scored.spans, forward.sizes) == ((0,), (), [])
