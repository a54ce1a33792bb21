"""The whole line on real input: what the demo leaves behind, and a figure of the README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.evaluate import evaluate_retrieval
from llama_index_ko_rerank.evaluate.systems import SystemParts, build_systems

DATA = Path(os.environ.get("KO_RERANK_DATA", Path(__file__).parents[2] / "shared" / "data"))
KORQUAD = DATA / "korquad" / "KorQuAD_v1.0_dev.json"
GAIN = re.compile(r"^- (.+) against (.+): MRR@10 ([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\], (.+)$", re.MULTILINE)
pytestmark = pytest.mark.slow


def test_the_demo_leaves_its_report_and_a_collection_that_answers(tmp_path):
    run = [sys.executable, "-m", "llama_index_ko_rerank.cli"]
    demo = subprocess.run([*run, "demo", "--out", tmp_path / "demo"], capture_output=True, text=True, check=False)
    assert demo.returncode == 0, demo.stderr
    report = json.loads((tmp_path / "demo" / "report.json").read_text(encoding="utf-8"))
    assert {"base", "fine-tuned", "fine-tuned + rerank", "BM25", "hybrid"} <= set(report["systems"])
    mrr = {name: figures["mrr@10"]["value"] for name, figures in report["systems"].items()}
    assert (tmp_path / "demo" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    gains = GAIN.findall((tmp_path / "demo" / "report.md").read_text(encoding="utf-8"))
    assert len(gains) == 5
    for step, before, *figures, verdict in gains:
        gain, low, high = map(float, figures)
        assert gain == pytest.approx(mrr[step] - mrr[before], abs=1e-3)
        helps, hurts = low > 0, high < 0
        assert verdict == ("it helps" if helps else "it hurts" if hurts else "no gain that the questions can show")
        # The bases are trained models, to which the sample's few hundred questions can add little.
        assert not (hurts and "fine-tuned" in step)
    assert mrr["fine-tuned"] != mrr["base"]
    question = [*run, "search", tmp_path / "demo", "물나래호에는 어떤 자전거를 실어 주나요?"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "접이식" in answer.stdout


@pytest.mark.skipif(not KORQUAD.exists(), reason="the KorQuAD file is not in the data folder")
def test_morphemes_alone_find_985_of_1000_korquad_passages_in_the_first_ten(tmp_path):
    dataset = load_dataset(f"squad:{KORQUAD}", "all")
    systems = build_systems(["bm25"], SystemParts(dataset_nodes(dataset), tmp_path))
    report = evaluate_retrieval(systems, dataset)
    assert report.questions == 5774
    assert report.intervals["bm25"]["hit@10"].value >= 0.985
