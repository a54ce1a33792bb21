"""What `ko-rerank adapt` makes of a collection whose users' questions are known, and were never shown to it.

    python -m benchmarks.quality.adapt_korquad COLLECTION --data squad:FILE --split tune [--json FILE]

COLLECTION was made by `ko-rerank adapt --data squad:FILE --out COLLECTION`. nDCG@10 of the embedding by exact cosines
over all passages, beside the embedding that it started from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llama_index_ko_rerank.adapt.models import ndcg_at_10
from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.collection import read_settings
from llama_index_ko_rerank.data import load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.evaluate.report import installed_versions, interval_text
from llama_index_ko_rerank.evaluate.significance import bootstrap_interval, paired_difference
from llama_index_ko_rerank.files import write_json_file


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="tune")
    parser.add_argument("--base", default=DEFAULT_EMBEDDING)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    dataset = load_dataset(chosen.data, chosen.split)
    models = {"before": chosen.base, "adapted": read_settings(chosen.collection).embed_model}
    values = {
        name: ndcg_at_10(KoreanEmbedding(model), dataset.passages, dataset.questions) for name, model in models.items()
    }
    found = {name: bootstrap_interval(row) for name, row in values.items()}
    found["gain"] = paired_difference(values["adapted"], values["before"])
    for name, interval in found.items():
        print(f"{name}: nDCG@10 {interval_text(interval)}, {len(dataset.questions):,} questions")
    if chosen.json:
        figures = {name: interval._asdict() for name, interval in found.items()}
        content = {"data": chosen.data, "split": chosen.split, "questions": len(dataset.questions), "ndcg@10": figures}
        write_json_file(chosen.json, {**content, "versions": installed_versions()})


if __name__ == "__main__":
    main()
