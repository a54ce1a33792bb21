"""What the service's tests ask, and a real server process to ask it of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

QUESTION = "연차는 언제까지 신청해야 하나요?"
TEXTS = [
    "회의실은 하루 전에 예약하고 다 쓰면 불을 끈다.",
    "연차는 쓰기 사흘 전까지 팀장에게 신청해야 한다.",
    "출장비는 돌아온 날부터 이레 안에 청구한다.",
    "주차장은 방문객이 먼저 쓴다.",
]
KEY = "0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@contextmanager
def running_server(collection, log):
    """Run `ko-rerank serve` over a collection, with a key, at a free port, and end it."""
    command = [sys.executable, "-m", "llama_index_ko_rerank.cli", "serve", str(collection)]
    command += ["--port", "0", "--api-key-env", "SERVICE_KEY"]
    with log.open("w") as sink:
        process = subprocess.Popen(command, stderr=sink, env={**os.environ, "SERVICE_KEY": KEY})
    try:
        yield SimpleNamespace(process=process, log=log, url=f"http://127.0.0.1:{_port(log, process)}")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def lines_of(log):
    """Return what the server logged, its last line only when it is whole."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]


def _port(log, process):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        for line in lines_of(log):
            if line["message"] == "listening":
                return line["port"]
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
