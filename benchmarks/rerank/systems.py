"""The rerankers that take turns, each behind the same call, and what one of them costs in a process of its own."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from benchmarks.rerank.workloads import CANDIDATES, MAX_LENGTH, Ask
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor

STOCK, FLOAT32, BFLOAT16, CASCADE, RERANKERS = "stock", "float32", "bfloat16", "cascade", "rerankers"
OURS = (FLOAT32, BFLOAT16, CASCADE)
CASCADE_TOP_N = 5
FLASHRANK_REASON = (
    "FlashRank 0.2.10 runs ONNX files of the models in its own list, which it downloads; it cannot be given a folder "
    "with a transformers model"
)

Ranking = list[tuple[str, float]]
"""The candidates' places as ids, with their logits, best first."""


class System(Protocol):
    """A loaded reranker."""

    def rank(self, ask: Ask) -> Ranking:
        """Order a question's candidates."""
        ...

    def clear_cache(self) -> None:
        """Empty what it remembers of earlier questions."""
        ...


def nodes_of(ask: Ask) -> list[NodeWithScore]:
    """Make fresh nodes, since some rerankers change those that they get."""
    return [
        NodeWithScore(node=TextNode(id_=str(place), text=text), score=1 - place / CANDIDATES)
        for place, text in enumerate(ask.texts)
    ]


class Stock:
    """LlamaIndex's `SentenceTransformerRerank`, told to give logits."""

    def __init__(self, folder: str) -> None:
        self._reranker = SentenceTransformerRerank(
            model=folder, top_n=CANDIDATES, device="cpu", trust_remote_code=False
        )
        self._reranker._model.activation_fn = torch.nn.Identity()

    def rank(self, ask: Ask) -> Ranking:
        """Order a question's candidates."""
        return _ranking(self._reranker.postprocess_nodes(nodes_of(ask), QueryBundle(ask.question)))

    def clear_cache(self) -> None:
        """Do nothing: it has no memory."""


class Ours:
    """`CrossEncoderNodePostprocessor`, reading of each pair what the stock one reads."""

    def __init__(self, folder: str, dtype: Any) -> None:
        self.reranker = CrossEncoderNodePostprocessor(
            folder,
            top_n=CASCADE_TOP_N if dtype == CASCADE else CANDIDATES,
            device="cpu",
            dtype=FLOAT32 if dtype == CASCADE else dtype,
            cascade=dtype == CASCADE,
            activation="identity",
            max_length=MAX_LENGTH,
            overflow="truncate",
        )

    def rank(self, ask: Ask) -> Ranking:
        """Order a question's candidates."""
        return _ranking(self.reranker.postprocess_nodes(nodes_of(ask), QueryBundle(ask.question)))

    def clear_cache(self) -> None:
        """Empty the caches."""
        self.reranker.clear_cache()


class Rerankers:
    """The library `rerankers`, batches of 16."""

    def __init__(self, folder: str) -> None:
        from rerankers import Reranker

        self._reranker = Reranker(folder, model_type="cross-encoder", device="cpu", dtype="float32", verbose=0)

    def rank(self, ask: Ask) -> Ranking:
        """Order a question's candidates."""
        found = self._reranker.rank(ask.question, list(ask.texts), doc_ids=list(range(len(ask.texts))))
        return [(str(result.document.doc_id), result.score) for result in found.results]

    def clear_cache(self) -> None:
        """Do nothing: it has no memory."""


def load(name: str, folder: str) -> System:
    """Load a reranker by name."""
    if name in OURS:
        return Ours(folder, name)
    return Stock(folder) if name == STOCK else Rerankers(folder)


def unavailable() -> dict[str, str]:
    """Say which of the other libraries take no part, and why."""
    reasons = {"FlashRank": FLASHRANK_REASON}
    if importlib.util.find_spec("rerankers") is None:
        reasons[RERANKERS] = "not installed; `pip install -c constraints.txt rerankers`"
    return reasons


def footprint(name: str, folder: str, asks: Sequence[Ask]) -> dict[str, float]:
    """Load a reranker and ask it; meant for a process of its own.

    Returns:
        ``load_s``, and ``imported_mib`` and ``peak_mib``, the most memory that the process held until each moment.
    """
    imported = _peak_mib()
    start = time.perf_counter()
    system = load(name, folder)
    seconds = time.perf_counter() - start
    for ask in asks:
        system.rank(ask)
    return {"load_s": round(seconds, 2), "imported_mib": imported, "peak_mib": _peak_mib()}


def _peak_mib() -> int:
    """Read this program's own peak; `getrusage` would count the memory of the parent that it was started from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _ranking(found: Sequence[NodeWithScore]) -> Ranking:
    return [(one.node.node_id, float(one.score or 0.0)) for one in found]
