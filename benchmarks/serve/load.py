"""What `ko-rerank serve` holds out: many clients at once, every answer checked, against one request at a time.

    python -m benchmarks.serve.load [--seconds N] [--clients N] [--model NAME] [--json PATH]

The service runs in a process of its own with its usual settings; the clients are in this one. First, in turns, one
client and many clients ask about pairs that nobody asked about before, so that no score is remembered; then many
clients ask a mix of sizes in which three questions of ten are repeated. When the service has stopped, the score of
every pair in every answer is computed again, one request at a time and with nothing merged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.files import write_json_file

SIZES = {"2 x 60": (2, 60), "4 x 60": (4, 60), "10 x 60": (10, 60), "10 x 280": (10, 280)}
"""Candidates of a request, and the characters that each has at most."""
ROUNDS = 3
REPEATED = 0.3
SEED = 7
TOLERANCE = 1e-5
STOCK_CHECKS = 50
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its candidates."""

    question: str
    texts: tuple[str, ...]


@dataclass(slots=True)
class Lap:
    """What some clients were answered in some time."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answers: list[tuple[Ask, list[dict[str, Any]]]] = field(default_factory=list)
    repeats: int = 0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds

    def figures(self) -> Figures:
        """Return rates and percentiles."""
        return {
            "requests": sum(self.statuses.values()),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "per_second": round(self.per_second, 1),
            "p50_ms": round(float(np.percentile(self.latencies_ms, 50)), 1),
            "p95_ms": round(float(np.percentile(self.latencies_ms, 95)), 1),
        }


class Questions:
    """Draws questions and candidates from the sample; a number behind each question makes every pair new."""

    def __init__(self) -> None:
        dataset = load_dataset("sample", "train")
        self._questions = [question.text for question in dataset.questions]
        self._passages = [passage.text for passage in dataset.passages]
        self._draw = np.random.default_rng(SEED)
        self._asked: list[Ask] = []

    def new(self, size: str) -> Ask:
        """Draw one that was never asked."""
        candidates, characters = SIZES[size]
        number = len(self._asked)
        question = f"{self._questions[number % len(self._questions)]} ({number})"
        places = self._draw.choice(len(self._passages), candidates, replace=False)
        ask = Ask(question, tuple(self._passages[place][:characters] for place in places))
        self._asked.append(ask)
        return ask

    def mixed(self, lap: Lap) -> Ask:
        """Draw one of any size, or one of the last two hundred again."""
        if self._asked and self._draw.random() < REPEATED:
            lap.repeats += 1
            return self._asked[-1 - int(self._draw.integers(min(200, len(self._asked))))]
        return self.new(list(SIZES)[int(self._draw.integers(len(SIZES)))])


def main() -> None:
    """Measure, check, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long many clients ask the mix")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--model", default="ko-mini-rerank", help="the cross-encoder")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/serve/load.json"))
    arguments = parser.parse_args()
    questions = Questions()
    with service(arguments.model) as (address, process):
        laps, sizes = in_turns(address, questions, clients=arguments.clients, seconds=arguments.seconds / 20)
        before = resident_mb(process.pid)
        mixed = Lap()
        asyncio.run(crowd(address, lambda: questions.mixed(mixed), mixed, arguments.clients, arguments.seconds))
        after = resident_mb(process.pid)
        stopping = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait(60)
        stopped_s = time.perf_counter() - stopping
    report = {
        "command": shlex.join(["python", "benchmarks/serve/load.py", *sys.argv[1:]]),
        "settings": {
            "model": arguments.model,
            "clients": arguments.clients,
            "seconds": arguments.seconds,
            "rounds": ROUNDS,
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
            "service": "defaults, float32, one process",
        },
        "sizes": sizes,
        "mixed": {
            **mixed.figures(),
            "repeated_share": round(mixed.repeats / max(1, len(mixed.answers)), 3),
            "resident_mb": [before, after],
        },
        "stop": {"exit_code": exit_code, "seconds": round(stopped_s, 2)},
        **checked(arguments.model, [*laps, mixed]),
    }
    write_json_file(arguments.json, report)
    print(json.dumps(report, ensure_ascii=False, indent=2))


def in_turns(address: str, questions: Questions, *, clients: int, seconds: float) -> tuple[list[Lap], Figures]:
    """Let one client and many ask in turns, for each size, with no pair asked twice."""
    laps: list[Lap] = []
    figures: Figures = {}
    for size in SIZES:
        pairs: list[tuple[Lap, Lap]] = []
        asyncio.run(crowd(address, lambda size=size: questions.new(size), Lap(), 4, 1))  # warms up
        for number in range(ROUNDS):
            one, many = Lap(), Lap()
            for lap in (many, one) if number % 2 else (one, many):
                at_once = clients if lap is many else 1
                asyncio.run(crowd(address, lambda size=size: questions.new(size), lap, at_once, seconds))
            pairs.append((one, many))
            laps += [one, many]
        ratios = [many.per_second / one.per_second for one, many in pairs]
        middle = ratios.index(statistics.median_low(ratios))
        figures[size] = {
            "times_throughput": round(ratios[middle], 2),
            "all_rounds": [round(ratio, 2) for ratio in ratios],
            "one_at_a_time": pairs[middle][0].figures(),
            "many_clients": pairs[middle][1].figures(),
        }
    return laps, figures


async def crowd(address: str, draw: Callable[[], Ask], lap: Lap, clients: int, seconds: float) -> None:
    """Let some clients ask, each its next question when it has its answer, until the time is over."""
    start = time.perf_counter()

    async def client() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60, verify=False, trust_env=False) as http:
            while time.perf_counter() - start < seconds:
                ask = draw()
                asked = time.perf_counter()
                answer = await http.post("/rerank", json={"query": ask.question, "texts": ask.texts})
                lap.latencies_ms.append((time.perf_counter() - asked) * 1000)
                lap.statuses[answer.status_code] += 1
                if answer.status_code == httpx.codes.OK:
                    lap.answers.append((ask, answer.json()))
                else:
                    await asyncio.sleep(float(answer.headers.get("Retry-After", 0)))

    await asyncio.gather(*(client() for _ in range(clients)))
    lap.seconds = time.perf_counter() - start


def checked(model: str, laps: list[Lap]) -> Figures:
    """Compute every score of every answer again, and some by sentence-transformers itself."""
    import torch
    from sentence_transformers import CrossEncoder

    from benchmarks.machine import processor_capabilities
    from llama_index_ko_rerank.catalog import find_model
    from llama_index_ko_rerank.evaluate.report import installed_versions
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
    from llama_index_ko_rerank.rerank.nodes import sigmoid

    scorer = load_scorer(ScorerSettings(model))
    expected: dict[Ask, np.ndarray] = {}
    wrong, largest = 0, 0.0
    for ask, answer in (pair for lap in laps for pair in lap.answers):
        if ask not in expected:
            expected[ask] = sigmoid(scorer.logits(ask.question, ask.texts))
        found = {item["index"]: item["score"] for item in answer}
        if sorted(found) != list(range(len(ask.texts))) or len(answer) != len(ask.texts):
            wrong += 1
            continue
        difference = max(abs(found[place] - expected[ask][place]) for place in found)
        descending = all(a["score"] >= b["score"] for a, b in pairwise(answer))
        largest = max(largest, float(difference))
        wrong += difference > TOLERANCE or not descending
    known = find_model(model)
    stock = CrossEncoder(str(known.folder) if known and known.folder else model, device="cpu")
    some = list(expected)[:: max(1, len(expected) // STOCK_CHECKS)]
    differences = [
        np.abs(stock.predict([(ask.question, text) for text in ask.texts]) - expected[ask]).max() for ask in some
    ]
    statuses = sum((lap.statuses for lap in laps), Counter())
    return {
        "answers": {
            "checked": sum(len(lap.answers) for lap in laps),
            "wrong": int(wrong),
            "tolerance": TOLERANCE,
            "largest_difference": float(f"{largest:.2g}"),
            "largest_difference_of_stock": float(f"{max(differences):.2g}"),
            "checked_by_stock": len(some),
            "other_statuses": {str(status): count for status, count in statuses.items() if status != httpx.codes.OK},
        },
        "versions": installed_versions(),
        "torch_threads": torch.get_num_threads(),
        "capabilities": processor_capabilities(),
    }


@contextmanager
def service(model: str) -> Any:
    """Start `ko-rerank serve` at a free port, and end it."""
    command = [sys.executable, "-m", "llama_index_ko_rerank.cli", "serve", "--port", "0", "--rerank-model", model]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sink)
        try:
            yield f"http://127.0.0.1:{_port(log, process)}", process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.1)
    raise SystemExit(f"the service did not start: {log.read_text(encoding='utf-8')}")


def resident_mb(pid: int) -> float:
    """Return how much memory a process has in use."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return float("nan")


if __name__ == "__main__":
    main()
