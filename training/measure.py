"""Development figures of the shipped models, by the library's own classes: KorQuAD's `tune` half and our sample."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.data import RetrievalDataset, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
from llama_index_ko_rerank.rerank.nodes import interpolate_scores, sigmoid
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever

CANDIDATES, QUESTIONS = 30, 400
BLENDS = (0.5, 0.6, 0.7, 0.8, 0.9)

Figures = dict[str, float]


def measured_sets(data: Path) -> dict[str, RetrievalDataset]:
    """Load what may be looked at while models are made."""
    return {
        "KorQuAD tune": load_dataset(f"squad:{data / 'korquad/KorQuAD_v1.0_dev.json'}", "tune"),
        "sample train": load_dataset("sample", "train"),
    }


def measure_static(folder: Path, dataset: RetrievalDataset) -> Figures:
    """Search all passages by cosine; an equal cosine counts against the passage that answers."""
    model = KoreanEmbedding(str(folder), device="cpu")
    passages = np.array(model.get_text_embedding_batch([passage.text for passage in dataset.passages]))
    questions = np.array([model.get_query_embedding(question.text) for question in dataset.questions])
    place = {passage.id: number for number, passage in enumerate(dataset.passages)}
    cosines = questions @ passages.T
    own = np.array([cosines[i, place[q.passage_ids[0]]] for i, q in enumerate(dataset.questions)])
    ranks = (cosines >= own[:, None]).sum(axis=1)
    return _figures(ranks)


def measure_reranker(folder: Path, dataset: RetrievalDataset, *, questions: int = QUESTIONS) -> dict[str, Figures]:
    """Rerank the first thirty of the two lexical views, for questions drawn by chance: alone, and interpolated.

    A question whose passage is not among them counts as lost.
    """
    scorer = load_scorer(ScorerSettings(str(folder), device="cpu", dtype="auto"))
    nodes = [TextNode(id_=passage.id, text=passage.text) for passage in dataset.passages]
    retriever = KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=CANDIDATES)
    ranks: dict[str, list[int]] = {}
    drawn = Random(5).sample(dataset.questions, min(questions, len(dataset.questions)))
    for question in drawn:
        found = retriever.retrieve(question.text)
        relevant = [hit.node.node_id in question.passage_ids for hit in found]
        first = np.array([hit.score or 0.0 for hit in found])
        logits = scorer.logits(question.text, [hit.node.get_content() for hit in found]) if found else first
        ways = {"first stage": first, "alone": logits}
        ways |= {
            f"retrieval_weight={share}": interpolate_scores(first, sigmoid(logits), retrieval_weight=share)
            for share in BLENDS
        }
        for way, scores in ways.items():
            ranks.setdefault(way, []).append(_rank(scores, relevant))
    return {way: _figures(np.array(values)) for way, values in ranks.items()}


def _rank(scores: np.ndarray, relevant: list[bool]) -> int:
    order = np.argsort(-scores, kind="stable").tolist()
    return min((order.index(row) + 1 for row, is_relevant in enumerate(relevant) if is_relevant), default=10**6)


def _figures(ranks: np.ndarray) -> Figures:
    in_ten = ranks <= 10
    return {
        "n": len(ranks),
        "hit@1": round(float((ranks == 1).mean()), 4),
        "mrr@10": round(float((in_ten / ranks).mean()), 4),
        "ndcg@10": round(float((in_ten / np.log2(ranks + 1)).mean()), 4),
    }


def measure(models: Path, data: Path, work: Path) -> dict[str, object]:
    """Measure both models and keep the figures in the work folder."""
    sets = measured_sets(data)
    figures: dict[str, object] = {
        "ko-static": {name: measure_static(models / "ko-static", dataset) for name, dataset in sets.items()},
        "ko-mini-rerank": {name: measure_reranker(models / "ko-mini-rerank", found) for name, found in sets.items()},
    }
    (work / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False), encoding="utf-8")
    return figures
