"""How long a first answer takes on the chat page, and what 20 people asking at once do to it.

    python -m benchmarks.chat.load [--users N] [--seconds S] [--first N] [--json PATH]

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository) for KorQuAD's paragraphs, and a
Chromium for the first answers. The server is ``ko-rerank chat`` in a process of its own, with the shipped models and no
LLM. A first answer is timed in a new browser tab, from Enter until the first sentence stands on the page, each with a
question that was not asked before. The users speak gradio's own protocol as the page does, each with a session of its
own and one question after the other without a pause. Memory is the server's resident set from ``/proc``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.rerank.speed import DATA
from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.store import build_index

SWITCHES = ["hybrid", "ranker", 5]
GOAL_FIRST_S = 1.5
TIMEOUT_S = 60.0
Figures = dict[str, Any]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the users ask")
    parser.add_argument("--warm-up", type=float, default=15.0, help="how long they ask before that")
    parser.add_argument("--first", type=int, default=20, help="how many first answers are timed")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/chat/load.json"))
    arguments = parser.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "all")
    questions = [question.text for question in dataset.questions]
    random.Random(42).shuffle(questions)
    nodes = dataset_nodes(dataset)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "korquad"
        build_index(nodes, index_folder(folder), embed_model=KoreanEmbedding())
        write_settings(folder, CollectionSettings("ko-static"))
        with served(folder) as (address, process_id):
            first = first_answers(address, questions[: arguments.first])
            rest = questions[arguments.first :]
            load = asyncio.run(
                under_load(address, process_id, rest, arguments.users, arguments.warm_up, arguments.seconds)
            )
    figures = {
        "command": shlex.join(["python", *sys.argv]),
        "versions": installed_versions(),
        "passages": len(nodes),
        "switches": dict(zip(("legs", "reranker", "sources"), SWITCHES, strict=True)),
        "first_answer": first,
        "load": load,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    write_json_file(arguments.json, figures)
    print(json.dumps({"first_answer": first, "load": load}, ensure_ascii=False, indent=1))


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Run ``ko-rerank chat`` on a free port and yield its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_index_ko_rerank.cli", "chat", str(folder), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command) as process:
        try:
            until = time.monotonic() + 180
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the page did not start: {shlex.join(command)}")
                time.sleep(0.2)
            yield address, process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def first_answers(address: str, questions: Sequence[str]) -> Figures:
    """Ask each question in a new tab, and time when the answer begins and when it is whole."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("first answers are timed in a browser: apt-get install chromium")
    begun, whole = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for question in questions:
            context = browser.new_context()
            tab = context.new_page()
            tab.goto(address)
            tab.wait_for_selector("#answer .welcome")
            tab.fill("#question textarea", question)
            started = time.perf_counter()
            tab.keyboard.press("Enter")
            tab.wait_for_selector(".answer-text li")
            begun.append(time.perf_counter() - started)
            tab.wait_for_selector(".answer[data-stage=done]")
            whole.append(time.perf_counter() - started)
            context.close()
        browser.close()
    median_s = statistics.median(begun)
    return {
        "questions": len(questions),
        "median_s": round(median_s, 3),
        "largest_s": round(max(begun), 3),
        "whole_median_s": round(statistics.median(whole), 3),
        "goal_s": GOAL_FIRST_S,
        "goal_met": median_s <= GOAL_FIRST_S,
    }


async def under_load(
    address: str, process_id: int, questions: Sequence[str], users: int, warm_up_s: float, seconds: float
) -> Figures:
    """Let users ask without a pause, first to warm up and then counted, while the server's memory is read."""
    at_start = resident_mib(process_id)
    limits = httpx.Limits(max_connections=4 * users)
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S, limits=limits) as client:
        number = await _ask_function(client)
        await _crowd(client, number, questions, users, warm_up_s)
        after_warm_up = resident_mib(process_id)
        memory: list[float] = []
        reading = asyncio.create_task(_read_memory(process_id, memory))
        began = time.perf_counter()
        taken, errors = await _crowd(client, number, questions[len(questions) // 2 :], users, seconds)
        lasted_s = time.perf_counter() - began
        reading.cancel()
    taken.sort()
    return {
        "users": users,
        "seconds": round(lasted_s, 1),
        "answers": len(taken),
        "errors": errors,
        "answers_per_second": round(len(taken) / lasted_s, 1),
        "p50_s": round(_quantile(taken, 0.5), 3),
        "p95_s": round(_quantile(taken, 0.95), 3),
        "largest_s": round(taken[-1], 3),
        "memory_mib": {
            "at_start": at_start,
            "after_warm_up": after_warm_up,
            "each_second": memory,
            "at_end": resident_mib(process_id),
        },
    }


async def _crowd(
    client: httpx.AsyncClient, number: int, questions: Sequence[str], users: int, seconds: float
) -> tuple[list[float], list[str]]:
    until = time.perf_counter() + seconds
    taken: list[float] = []
    errors: list[str] = []

    async def user(place: int) -> None:
        session = f"user{place}x{random.Random(place).randrange(10**9)}"
        for question in questions[place::users]:
            if time.perf_counter() >= until:
                return
            started = time.perf_counter()
            try:
                problem = await _ask(client, number, session, question)
            except httpx.HTTPError as failure:
                problem = repr(failure)
            if problem:
                errors.append(problem)
            else:
                taken.append(time.perf_counter() - started)

    await asyncio.gather(*(user(place) for place in range(users)))
    return taken, errors


async def _ask(client: httpx.AsyncClient, number: int, session: str, question: str) -> str | None:
    """Ask one question as the page does; return what went wrong, None where the whole answer came."""
    asked = {"data": [question, *SWITCHES, None, None], "fn_index": number, "session_hash": session}
    joined = await client.post("/gradio_api/queue/join", json=asked)
    if joined.status_code != 200:
        return f"status {joined.status_code}: {joined.text[:200]}"
    answered = False
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        async for line in stream.aiter_lines():
            if not line.startswith("data:"):
                continue
            event = json.loads(line[5:])
            if event["msg"] == "process_completed":
                if not event["success"]:
                    return str(event["output"])[:200]
                return None if answered else "the answer was refused"
            answered = answered or (event["msg"] == "process_generating" and "answer-text" in line)
    return "the stream ended before the answer"


async def _ask_function(client: httpx.AsyncClient) -> int:
    config = (await client.get("/config")).json()
    return next(int(one["id"]) for one in config["dependencies"] if one["api_name"] == "ask")


async def _read_memory(process_id: int, memory: list[float]) -> None:
    while True:
        memory.append(resident_mib(process_id))
        await asyncio.sleep(1)


def resident_mib(process_id: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) / 1024, 1)


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    main()
