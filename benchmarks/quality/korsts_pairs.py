"""Write KorSTS in the package's own layout of sentence pairs, outside the repository.

    python -m benchmarks.quality.korsts_pairs OUT.jsonl
    ko-rerank reproduce --sts pairs:OUT.jsonl ...

Needs the data folder (`KO_RERANK_DATA`, or `../shared/data` beside the repository). The splits are train, dev and test.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from benchmarks.paths import DATA
from llama_index_ko_rerank.data import PairDataset, SentencePair
from llama_index_ko_rerank.text.normalize import normalize

SPLITS = ("train", "dev", "test")
HIGHEST = 5


def main() -> None:
    """Read and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the JSONL file to write, for `pairs:OUT.jsonl`")
    out = parser.parse_args().out
    lines = [
        json.dumps({"split": split, **row}, ensure_ascii=False) + "\n"
        for split in SPLITS
        for row in (
            {"sentence1": pair.sentence1, "sentence2": pair.sentence2, "label": pair.label}
            for pair in read_korsts(split).pairs
        )
    ]
    out.write_text("".join(lines), encoding="utf-8")
    print(f"{out}: {len(lines):,} sentence pairs")


def read_korsts(split: str) -> PairDataset:
    """Read a split, its scores of 0-5 divided by 5; `train` without the few pairs that are also in the other two."""
    pairs = _read(split)
    if split == "train":
        measured = {_key(pair) for other in SPLITS[1:] for pair in _read(other)}
        pairs = tuple(pair for pair in pairs if _key(pair) not in measured)
    return PairDataset("KorSTS", split, pairs)


def _read(split: str) -> tuple[SentencePair, ...]:
    with (DATA / "kor-nlu" / f"sts-{split}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(SentencePair(row["sentence1"], row["sentence2"], float(row["score"]) / HIGHEST) for row in rows)


def _key(pair: SentencePair) -> frozenset[str]:
    return frozenset((normalize(pair.sentence1), normalize(pair.sentence2)))


if __name__ == "__main__":
    main()
