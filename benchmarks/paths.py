"""Where the scripts find the repository, the shared data and the results."""

from __future__ import annotations

import os
from pathlib import Path

BENCHMARKS = Path(__file__).parent
ROOT = BENCHMARKS.parent
DATA = Path(os.environ.get("KO_RERANK_DATA", ROOT.parent / "shared" / "data"))
STATUTE_QUESTIONS = BENCHMARKS / "data" / "statute_questions.jsonl"
