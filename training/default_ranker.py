"""Fit the ranker that ships with the package, and measure it by cross-validation and on sets it was not fitted on.

    python -m training.default_ranker [--data ../shared/data] [--models llama_index_ko_rerank/models]

It reads the `tune` half of KorQuAD, our own sample, and questions made by rules over statutes and technical
documentation. KorQuAD's `test` half is never read, and the sample's `validation` only after everything is fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample, fit_ranker
from llama_index_ko_rerank.rerank.ltr.model import LearningToRank
from training.ranker_card import model_card
from training.ranker_data import CANDIDATES, FOLDS, JudgedSet, default_sets, judged

ROOT = Path(__file__).parents[1]
Figures = dict[str, float]


def main() -> None:
    """Build, fit, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--models", type=Path, default=ROOT / "llama_index_ko_rerank" / "models")
    arguments = parser.parse_args()
    sets = default_sets(arguments.data)
    by_fold = [fit([e for s in sets for e, f in zip(s.examples, s.folds, strict=True) if f != k]) for k in range(FOLDS)]
    without = {
        family: fit([e for s in sets if s.family != family for e in s.examples]) for family in {s.family for s in sets}
    }
    figures = {
        measured.name: {
            "n": len(measured.examples),
            "retrieval": summary(measured, [None] * FOLDS),
            "cross_validated": summary(measured, by_fold),
            "other_sets": summary(measured, [without[measured.family]] * FOLDS),
        }
        for measured in sets
    }
    ranker = fit([e for s in sets for e in s.examples], tokenizers=sets[0].tokenizers, notes={"figures": figures})
    held_out = judged("sample validation", "sample", load_dataset("sample", "validation"))
    figures[held_out.name] = {
        "n": len(held_out.examples),
        "retrieval": summary(held_out, [None] * FOLDS),
        "cross_validated": summary(held_out, [ranker] * FOLDS),
        "other_sets": summary(held_out, [without["sample"]] * FOLDS),
    }
    arguments.models.mkdir(parents=True, exist_ok=True)
    text = ranker.to_json()
    (arguments.models / "ltr.json").write_text(text, encoding="utf-8")
    card = model_card(ranker, sets, figures, size=len(text))
    (arguments.models / "ltr.md").write_text(card, encoding="utf-8")
    print(card)


def fit(examples: Sequence[RankingExample], **kept: Any) -> LearningToRank:
    """Fit with the library's defaults."""
    return fit_ranker(examples, **kept)


def summary(measured: JudgedSet, rankers: Sequence[LearningToRank | None]) -> Figures:
    """Measure a set, the questions of each fold by that fold's ranker; None keeps the order of retrieval."""
    reciprocal = []
    for example, fold in zip(measured.examples, measured.folds, strict=True):
        ranker = rankers[fold]
        scores = ranker.scores(example.matrix) if ranker and len(example.matrix) else -np.arange(CANDIDATES)
        order = np.argsort(-scores, kind="stable").tolist()
        reciprocal.append(max((1 / (order.index(row) + 1) for row in example.relevant), default=0.0))
    values = np.array(reciprocal)
    return {"hit@1": round((values == 1).mean(), 4), "mrr@10": round((values * (values >= 0.1)).mean(), 4)}


if __name__ == "__main__":
    main()
