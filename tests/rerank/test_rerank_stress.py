"""Sixteen threads and 200 async calls that are cancelled at random, for a minute: `stress_work.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60
GROWTH_BOUND_MB = 128
# What the libraries hold whatever the load is kept small, so that a leak stands out: oneDNN remembers the last 1,024
# shapes of matrices that it met, about 250 MB, and malloc keeps a heap for each thread.
SMALL = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16", "MALLOC_ARENA_MAX": "2"}


@pytest.mark.slow
def test_a_minute_of_threads_and_cancelled_calls_gives_only_right_scores(model):
    script = Path(__file__).with_name("stress_work.py")
    done = subprocess.run(
        [sys.executable, str(script), model, str(SECONDS)],
        env={**os.environ, **SMALL},
        capture_output=True,
        text=True,
        timeout=5 * SECONDS,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["stuck"], seen["wrong"], seen["requests_left"]) == (0, 0, 0), seen
    assert seen["answered"] > 500, seen
    assert seen["cancelled"] > 100, seen
    assert seen["growth_mb"] < GROWTH_BOUND_MB, seen
