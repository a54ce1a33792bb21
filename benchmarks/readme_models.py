"""The READMEs' tables on the models in the wheel and on those fitted to a collection, from `quality/`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.evaluate.report import markdown_table

QUALITY = Path(__file__).parent / "quality"
FILES = ("korquad-test-embedding-tuned", "korquad-test-mini-rerank", "korquad-test-mini-rerank-tuned")
MEASURES = ("Hit@1", "Hit@10", "MRR@10", "nDCG@10")
NAMES = (
    (r"lexical", "both lexical views", "두 어휘 관점"),
    (r"ko-static", "ko-static", "ko-static"),
    (r"adapted", "ko-static, adapted", "ko-static, 맞춤"),
    (r"adapted, then trained on tune", "that, trained on `tune`", "그것을 `tune`으로 학습"),
    (r"ko-mini-rerank", "ko-mini-rerank", "ko-mini-rerank"),
    (r"reranker-tuned", "ko-mini-rerank, trained on `tune`", "ko-mini-rerank, `tune`으로 학습"),
    (
        r"ko-mini-rerank, retrieval_weight (.*)",
        r"ko-mini-rerank, retrieval_weight \1",
        r"ko-mini-rerank, retrieval_weight \1",
    ),
    (
        r"reranker-tuned, retrieval_weight (.*)",
        r"trained on `tune`, retrieval_weight \1",
        r"`tune`으로 학습, retrieval_weight \1",
    ),
    (r"lexical \+ ranker that ships", "both views + ranker", "두 관점 + 랭커"),
    (r"lexical \+ ranker refitted", "both views + ranker refitted", "두 관점 + 다시 맞춘 랭커"),
    (r"lexical .* ko-mini-rerank's logit", "ranker with ko-mini-rerank's logit", "ko-mini-rerank의 로짓을 넣은 랭커"),
    (r"lexical .* reranker-tuned's logit", "ranker with the trained one's logit", "학습한 것의 로짓을 넣은 랭커"),
    (r"before", "before", "학습 전"),
    (r"after", "after", "학습 후"),
    (r"scratch", "static, from nothing", "정적, 처음부터"),
)


def models(language: str) -> str:
    """Show every system on KorQuAD `test`, those that two files have once."""
    systems: dict[str, Any] = {}
    for name in FILES:
        systems = {**_read(name)["systems"], **systems}
    order = sorted(systems, key=_place)
    rows = [(_named(name, language), *_measures(systems[name])) for name in order]
    return markdown_table(["시스템" if language == "ko" else "system", *MEASURES], rows)


def gains(language: str) -> str:
    """Show the differences in Hit@1 and nDCG@10 that were looked at."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name in FILES:
        for one in _read(name)["differences"]:
            text = f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
            found.setdefault((one["system"], one["other"]), {})[one["metric"]] = text
    rows = [
        (_named(system, language), _named(other, language), values["hit@1"], values["ndcg@10"])
        for (system, other), values in found.items()
    ]
    header = ("시스템", "비교 대상") if language == "ko" else ("system", "against")
    return markdown_table([*header, "Hit@1", "nDCG@10"], rows)


def sts(language: str) -> str:
    """Show Spearman's correlation before and after the recipe `sts`."""
    rows = []
    for name, row in _read("sts")["rows"].items():
        model, when, data = name.split(", ")
        spearman = row["spearman"]
        interval = f"{spearman['value']:.3f} [{spearman['low']:.3f}, {spearman['high']:.3f}]"
        rows.append((_named(model, language), _named(when, language), data, f"{row['pairs']:,}", interval))
    header = ("모델", "", "자료", "쌍", "스피어만") if language == "ko" else ("model", "", "data", "pairs", "Spearman")
    return markdown_table(list(header), rows)


def _read(name: str) -> Any:
    return json.loads((QUALITY / f"{name}.json").read_text(encoding="utf-8"))


def _place(name: str) -> int:
    return next(place for place, (pattern, *_) in enumerate(NAMES) if re.fullmatch(pattern, name))


def _named(name: str, language: str) -> str:
    """Say a system's name in the reader's words."""
    pattern, *said = NAMES[_place(name)]
    return re.sub(pattern, said[language == "ko"], name)


def _measures(figures: dict[str, Any]) -> tuple[str, ...]:
    cells = []
    for name in MEASURES:
        measure = figures[name.lower()]
        value, low, high = (f"{measure[end]:.3f}".removeprefix("0") for end in ("value", "low", "high"))
        cells.append(f"{value} [{low}, {high}]" if name in ("Hit@1", "nDCG@10") else value)
    return tuple(cells)
