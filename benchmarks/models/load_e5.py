"""How long `e5-small` takes to load and how much memory it adds: the digest, the tokenizer and the whole model.

    python -m benchmarks.models.load_e5 [--rounds 3] [--json benchmarks/models/load_e5.json]

Every round is a process of its own, which has imported the libraries before. Resident memory is read from Linux's
`/proc`; memory maps of the data file count where their pages were read.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from llama_index_ko_rerank.evaluate.report import installed_versions
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.models import pretrained
from llama_index_ko_rerank.models.e5_file import E5File
from llama_index_ko_rerank.models.unigram_tokenizer import unigram_tokenizer

GOALS = {"load_seconds": 2.0, "added_mib": 250.0}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/models/load_e5.json"))
    parser.add_argument("--part", choices=("model", "tokenizer"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measure(arguments.part)))
        return
    rounds = [{part: in_own_process(part) for part in ("model", "tokenizer")} for _ in range(arguments.rounds)]
    report = {
        "command": shlex.join(["python", "-m", "benchmarks.models.load_e5", *sys.argv[1:]]),
        "rounds": arguments.rounds,
        "goals": GOALS,
        "load_seconds": statistics.median(each["model"]["seconds"] for each in rounds),
        "sha256_seconds": statistics.median(each["model"]["sha256_seconds"] for each in rounds),
        "added_mib": statistics.median(each["model"]["added_mib"] for each in rounds),
        "of_it_the_tokenizer_mib": statistics.median(each["tokenizer"]["added_mib"] for each in rounds),
        "versions": installed_versions(),
    }
    write_json_file(arguments.json, report)
    print({name: value for name, value in report.items() if name != "versions"})


def in_own_process(part: str) -> dict[str, float]:
    """Measure one part in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.models.load_e5", "--part", part]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured: dict[str, float] = json.loads(output.splitlines()[-1])
    return measured


def measure(part: str) -> dict[str, float]:
    """Load one part and return what it took."""
    start = time.perf_counter()
    pretrained.check_data_file(pretrained.find_data_file())
    checked = time.perf_counter() - start
    before, start = resident_mib(), time.perf_counter()
    loaded = pretrained.load_pretrained_embedding() if part == "model" else load_tokenizer()
    seconds = time.perf_counter() - start
    added = resident_mib() - before
    assert loaded is not None  # it is kept until here
    return {"seconds": seconds, "sha256_seconds": checked, "added_mib": added}


def load_tokenizer() -> object:
    """Load the tokenizer alone."""
    file = E5File(pretrained.find_data_file())
    return unigram_tokenizer(file.pieces, special=file.special, normalisation=file.normalisation, max_tokens=512)


def resident_mib() -> float:
    """Return the resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
