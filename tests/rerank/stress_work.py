"""What the stress test does in a process of its own: `python stress_work.py FOLDER SECONDS` writes what it saw as JSON.

Of the seconds, a third warms up; the growth of memory is that of the rest.
"""

import asyncio
import ctypes
import gc
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_ko_rerank.forward.batches import TokenPair
from llama_index_ko_rerank.rerank.cross_encoder.batching import _Request
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.cross_encoder.scoring import ScoredPassages

THREADS = 16
CALLS_AT_ONCE = 200
PATIENCE = 60.0
TEXTS = [
    "연차는 사흘 전에 팀장에게 신청한다",
    "출장비는 돌아온 날부터 이레 안에 청구한다",
    "회의실은 하루 전에 예약하고 다 쓰면 불을 끈다",
    "점심 식대는 하루 만 원까지 회사가 낸다",
    "노트북은 입사한 날 총무팀에서 받는다",
    "주차장은 방문객이 먼저 쓴다",
]
LONG = [". ".join(TEXTS[number:] * 4) for number in range(2)]
CANDIDATES = [
    NodeWithScore(node=TextNode(text=text, id_=f"n{place}"), score=0.9 - place / 10)
    for place, text in enumerate(TEXTS + LONG)
]
WORDS = " ".join(TEXTS).split()
QUESTIONS = [" ".join(WORDS[start : start + 3]) for start in range(len(WORDS))]


def resident_mb():
    """Measure what is in use, after what was freed went back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def scores(results):
    return {result.node.node_id: result.score for result in results}


class Work:
    """Asks random questions and compares with what each gets alone."""

    def __init__(self, rerankers):
        self.rerankers = rerankers
        self.wanted = {
            (place, question): scores(reranker.postprocess_nodes(CANDIDATES, query_str=question))
            for place, reranker in enumerate(rerankers)
            for question in QUESTIONS
        }
        self.answered, self.cancelled, self.wrong, self.slowest = 0, 0, 0, 0.0
        self.lock = threading.Lock()

    def draw(self, chance):
        place, question = chance.randrange(len(self.rerankers)), chance.choice(QUESTIONS)
        if chance.random() < 0.1:
            self.rerankers[place].clear_cache()
        return place, question

    def check(self, place, question, results, began):
        found, wanted = scores(results), self.wanted[place, question]
        right = found.keys() == wanted.keys() and all(abs(found[name] - wanted[name]) < 1e-5 for name in wanted)
        with self.lock:
            self.answered += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.wrong += not right

    def in_a_thread(self, seed, stop):
        chance = random.Random(seed)
        while (began := time.monotonic()) < stop:
            place, question = self.draw(chance)
            self.check(place, question, self.rerankers[place].postprocess_nodes(CANDIDATES, query_str=question), began)

    async def in_async(self, seed, stop):
        chance = random.Random(seed)
        while (began := time.monotonic()) < stop:
            place, question = self.draw(chance)
            asked = self.rerankers[place].apostprocess_nodes(CANDIDATES, query_str=question)
            patience = chance.choice([0.001, 0.01, 0.1, PATIENCE])
            try:
                self.check(place, question, await asyncio.wait_for(asked, patience), began)
            except TimeoutError:
                if patience == PATIENCE:
                    raise
                self.cancelled += 1

    def run(self, seconds):
        """Work for a while, and return how many threads did not come back."""
        stop = time.monotonic() + seconds
        threads = [threading.Thread(target=self.in_a_thread, args=(seed, stop), daemon=True) for seed in range(THREADS)]
        for thread in threads:
            thread.start()

        async def all_calls():
            await asyncio.gather(*(self.in_async(seed, stop) for seed in range(1_000, 1_000 + CALLS_AT_ONCE)))

        asyncio.run(all_calls())
        for thread in threads:
            thread.join(PATIENCE)
        return sum(thread.is_alive() for thread in threads)


def main(folder, seconds):
    options = ({"top_n": 3}, {"top_n": 10, "retrieval_weight": 0.3}, {"top_n": 4, "cascade": True})
    work = Work([CrossEncoderNodePostprocessor(folder, device="cpu", **option) for option in options])
    stuck = work.run(seconds / 3)
    before = resident_mb()
    stuck += work.run(seconds * 2 / 3)
    growth = resident_mb() - before
    left = sum(type(thing) in (TokenPair, _Request, ScoredPassages) for thing in gc.get_objects())
    seen = {"stuck": stuck, "wrong": work.wrong, "answered": work.answered, "cancelled": work.cancelled}
    seen |= {"slowest_s": work.slowest, "growth_mb": growth, "requests_left": left}
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
