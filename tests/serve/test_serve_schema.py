"""The service's OpenAPI, by schemathesis: whatever is sent, the answer is one that the schema states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.service_process import HEADERS

# A blank question is refused though the schema, which cannot say what is blank, allows it.
_LEFT_OUT = "positive_data_acceptance"


@pytest.mark.slow
def test_no_request_crashes_the_service_or_gets_an_answer_that_its_schema_does_not_state(server, tmp_path):
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json"]
    command += ["--header", f"Authorization: {HEADERS['Authorization']}", "--exclude-checks", _LEFT_OUT]
    command += [
        "--max-examples",
        "30",
        "--seed",
        "7",
        "--request-timeout",
        "120",
        "--generation-database",
        "none",
        "--no-color",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.process.poll() is None
