"""A cross-encoder's logits for the candidates of questions, taken once and kept in a file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from numpy.typing import NDArray
from rich.progress import track

from llama_index_ko_rerank.catalog import find_model
from llama_index_ko_rerank.data import RetrievalDataset
from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
from llama_index_ko_rerank.rerank.nodes import interpolate_scores, rerank_nodes, sigmoid
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.text.normalize import check_query, normalize


@dataclass(frozen=True, slots=True)
class StoredLogits:
    """Logits by question and passage, both normalised; a `PairScorer` that runs no model.

    Attributes:
        by_question: The logit of each candidate's text, by question.
        milliseconds: What the model took for the candidates of each question.
    """

    by_question: dict[str, dict[str, float]] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)

    def logits(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Look the logits up; a pair that was never read is a KeyError."""
        known = self.by_question[check_query(query)]
        return np.array([known[normalize(text)] for text in texts])


def take_logits(
    model: str, retriever: KoreanBM25Retriever, asked: RetrievalDataset, folder: Path, *, dtype: Any
) -> StoredLogits:
    """Let a cross-encoder read the candidates of every question, those of an earlier run left out.

    The file is named by the model's weights, and every question is a line, so that a run that was cut off goes on.

    Args:
        model: The cross-encoder.
        retriever: Finds the candidates in the collection of `asked`.
        asked: The questions.
        folder: Where the file is.
        dtype: What the model computes in.
    """
    texts_by_id = {passage.id: normalize(passage.text) for passage in asked.passages}
    file = folder / f"logits-{weights_digest(model)[:12]}-{dtype}.jsonl"
    found = _read(file, texts_by_id)
    missing = [question for question in asked.questions if check_query(question.text) not in found.by_question]
    if not missing:
        return found
    scorer = load_scorer(ScorerSettings(model, dtype=dtype))
    folder.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        for question in track(missing, f"{Path(model).name} reads the candidates"):
            query = check_query(question.text)
            nodes = retriever.retrieve(QueryBundle(question.text))
            ids = [node.node.node_id for node in nodes]
            texts = [texts_by_id[identity] for identity in ids]
            start = time.perf_counter()
            logits = scorer.logits(query, texts).tolist() if texts else []
            spent = round(1000 * (time.perf_counter() - start), 2)
            row = {"question": query, "ms": spent, "logits": dict(zip(ids, logits, strict=True))}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            found.by_question[query] = dict(zip(texts, logits, strict=True))
            found.milliseconds[query] = spent
    return found


def weights_digest(model: str) -> str:
    """Return the SHA-256 of a local model's weights."""
    known = find_model(model)
    folder = known.folder if known and known.folder else Path(model)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _read(file: Path, texts_by_id: Mapping[str, str]) -> StoredLogits:
    """Read a file; a last line that was cut off is left out."""
    found = StoredLogits()
    if not file.exists():
        return found
    whole = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    for line in whole:
        row = json.loads(line)
        found.by_question[row["question"]] = {texts_by_id[identity]: logit for identity, logit in row["logits"].items()}
        found.milliseconds[row["question"]] = row["ms"]
    file.write_text("".join(whole), encoding="utf-8")
    return found


class StoredReranker(BaseNodePostprocessor):
    """What `CrossEncoderNodePostprocessor` does, from logits that were taken before."""

    top_n: int = Field(description="How many nodes to return at most.")
    retrieval_weight: float = Field(default=0.0, description="The share of the retrieval score, 0-1.")
    _stored: StoredLogits = PrivateAttr()

    def __init__(self, stored: StoredLogits, **settings: Any) -> None:
        super().__init__(**settings)
        self._stored = stored

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex's serialisation uses."""
        return "StoredReranker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None  # the evaluation always asks something
        texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        probabilities = sigmoid(self._stored.logits(query_bundle.query_str, texts))
        first = np.array([float(node.score or 0.0) for node in nodes])
        scores = (
            interpolate_scores(first, probabilities, retrieval_weight=self.retrieval_weight)
            if self.retrieval_weight
            else probabilities
        )
        return rerank_nodes(nodes, scores, top_n=self.top_n)
