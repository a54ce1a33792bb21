"""How much of the first 10 of our own store a collection at Qdrant finds, for the same questions.

    python -m benchmarks.scale.qdrant_overlap [--questions 200] [--url http://localhost:6333]

Without a URL the client's local mode is asked, which searches exactly and in plain Python, and takes minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient

from benchmarks.quality.data import DATA
from llama_index_ko_rerank.data import dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.files import write_json_file
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
from llama_index_ko_rerank.scale.qdrant import KoreanQdrantRetriever, build_qdrant_index
from llama_index_ko_rerank.store import build_index

_FOUND = 10
_CANDIDATES = 30


def main() -> None:
    """Build both, ask both, and write the overlaps."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--questions", type=int, default=200)
    options.add_argument("--url", help="a Qdrant server; the client's local mode where none is given")
    options.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    asked = options.parse_args()
    dataset = load_dataset(f"squad:{DATA / 'korquad/KorQuAD_v1.0_dev.json'}", "tune")
    every = len(dataset.questions) / asked.questions
    questions = [dataset.questions[int(place * every)] for place in range(asked.questions)]
    model = KoreanEmbedding()
    nodes = dataset_nodes(dataset)
    with tempfile.TemporaryDirectory() as folder:
        ours = build_index(nodes, folder, embed_model=model)
        client = QdrantClient(url=asked.url) if asked.url else QdrantClient(":memory:")
        theirs = build_qdrant_index(nodes, client, "ko-rerank-overlap", embed_model=model, overwrite=True)
        pairs = {
            "words": (
                KoreanBM25Retriever.from_index(ours, similarity_top_k=_CANDIDATES),
                KoreanQdrantRetriever(theirs, similarity_top_k=_CANDIDATES),
            ),
            "vectors": (
                ours.as_retriever(similarity_top_k=_CANDIDATES),
                theirs.as_retriever(similarity_top_k=_CANDIDATES),
            ),
        }
        pairs["hybrid"] = tuple(
            HybridRetriever.from_defaults(pairs["words"][side], pairs["vectors"][side], similarity_top_k=_CANDIDATES)
            for side in (0, 1)
        )
        results = {name: compare(*pair, questions) for name, pair in pairs.items()}
    content = {
        "command": f"python -m benchmarks.scale.qdrant_overlap --questions {asked.questions}",
        "data": "KorQuAD 1.0 dev, split tune",
        "passages": len(nodes),
        "questions": len(questions),
        "qdrant": "server" if asked.url else "local mode",
        "qdrant_client": version("qdrant-client"),
        "embedding": "ko-static",
        "first": _FOUND,
        "results": results,
    }
    asked.json.parent.mkdir(exist_ok=True)
    write_json_file(asked.json, content)
    for name, result in results.items():
        print(name, result)


def compare(ours, theirs, questions) -> dict[str, float]:
    """Ask both retrievers and compare their first results."""
    overlaps, same_first, same_order, differences = [], [], [], []
    for question in questions:
        expected, found = ours.retrieve(question.text)[:_FOUND], theirs.retrieve(question.text)[:_FOUND]
        ids, expected_ids = ([one.node.node_id for one in results] for results in (found, expected))
        overlaps.append(len({*ids} & {*expected_ids}) / max(len(expected_ids), 1))
        same_first.append(ids[:1] == expected_ids[:1])
        same_order.append(ids == expected_ids)
        scores = {one.node.node_id: one.score for one in expected}
        differences += [abs(one.score - scores[one.node.node_id]) for one in found if one.node.node_id in scores]
    return {
        "overlap": round(float(np.mean(overlaps)), 4),
        "least_overlap": round(float(np.min(overlaps)), 4),
        "same_first": round(float(np.mean(same_first)), 4),
        "same_order": round(float(np.mean(same_order)), 4),
        "largest_difference_of_a_score": float(f"{max(differences, default=0.0):.2g}"),
    }


if __name__ == "__main__":
    main()
