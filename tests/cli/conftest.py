from __future__ import annotations

import json

import pytest

from tests.corpora.cli import RULES


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "규정 질문.jsonl"
    rows = [{"question": question, "context": context, "split": "test"} for context, question in RULES.items()]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path
