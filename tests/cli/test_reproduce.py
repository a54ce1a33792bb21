"""`ko-rerank reproduce` from data files to a report, on bases made here."""

from __future__ import annotations

import json
import sys

import pytest

from llama_index_ko_rerank.cli import main

TREES = ("느티나무", "소나무", "은행나무", "감나무", "대나무", "벚나무", "참나무", "단풍나무", "버드나무", "밤나무",
         "전나무", "향나무", "오동나무", "자작나무", "호두나무", "매화나무", "살구나무", "배나무")  # fmt: skip


def rows_of_trees():
    """One paragraph a tree, with two questions; every third tree is measured."""
    for number, tree in enumerate(TREES):
        context = f"{tree}는 마을 {number + 1}번 길에 서 있고 높이가 {number + 3}미터이다. {tree} 둘레에는 의자가 있다."
        split = "validation" if number % 3 == 0 else "train"
        for question in (f"{tree}는 몇 번 길에 있나요?", f"{tree}의 높이는 얼마인가요?"):
            yield {"question": question, "context": context, "title": tree, "split": split}


def pairs_of_trees():
    for number, tree in enumerate(TREES):
        other, split = TREES[(number + 5) % len(TREES)], "validation" if number % 3 == 0 else "train"
        yield {"sentence1": f"{tree}를 심는다", "sentence2": f"{tree}를 한 그루 심는다", "label": 0.9, "split": split}
        yield {"sentence1": f"{tree}를 심는다", "sentence2": f"{other}가 자란다", "label": 0.1, "split": split}


@pytest.fixture(scope="module")
def grove(tmp_path_factory):
    """The data files, and the options that name them."""
    folder = tmp_path_factory.mktemp("grove")
    for name, rows in (("mrc", rows_of_trees()), ("sts", pairs_of_trees())):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    options = ("--mrc", f"pairs:{folder / 'mrc.jsonl'}", "--sts", f"pairs:{folder / 'sts.jsonl'}")
    bases = ("--bi-encoder-base", "scratch", "--cross-encoder-base", "scratch")
    return folder / "book", (*options, *bases, "--rows", "20")


@pytest.fixture
def reproduce(grove, monkeypatch, capsys):
    """Call `ko-rerank reproduce`, and return its exit code and what it said on both streams."""
    out, options = grove

    def call(*others):
        arguments = ["ko-rerank", "reproduce", "--out", out, *options, *others]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


def weights(out):
    return {file.parent.name: file.stat().st_mtime_ns for file in out.glob("models/*/**/model.safetensors")}


def test_a_run_writes_both_tables_and_a_second_one_trains_nothing(grove, reproduce):
    out, _ = grove
    code, printed, steps = reproduce()

    assert code == 0, steps
    assert "not comparable" in printed
    assert [line for line in steps.splitlines() if line.startswith("training ")] != []
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert len(report["correlations"]) == 6
    assert report["correlations"]["STS, untrained"]["published"] == 0.3646
    search = report["search"]
    assert search["questions"] == 12
    assert search["passages"] == 6
    assert search["systems"]["search, fine-tuned"]["model"] == str(out / "models" / "mrc")
    trained = weights(out)
    assert len(trained) == 3

    code, _, steps = reproduce()
    assert code == 0
    assert "training " not in steps
    assert weights(out) == trained
    again = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert again["correlations"] == report["correlations"]


def test_the_folder_of_another_reproduction_is_refused(reproduce):
    code, _, said = reproduce("--seed", "7")

    assert code == 1
    assert "InvalidSetting" in said
    assert "seed: 42 then, 7 now" in " ".join(said.split())


def test_a_base_that_is_nowhere_is_refused_before_training(reproduce, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, said = reproduce("--out", tmp_path / "new", "--bi-encoder-base", str(tmp_path / "no-such-folder"))

    assert code == 1
    assert "ModelNotFound" in said
    assert "ko-static or scratch" in " ".join(said.split())
    assert "training" not in said
