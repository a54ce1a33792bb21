"""Measure retrieval and pair scores, with intervals, milliseconds by stage, tables and a picture."""

from llama_index_ko_rerank.evaluate.correlation import (
    Correlation,
    CorrelationReport,
    cosine_scorer,
    mrc_correlation,
    pair_correlation,
    sts_correlation,
)
from llama_index_ko_rerank.evaluate.metrics import (
    METRICS,
    hit_at_k,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)
from llama_index_ko_rerank.evaluate.plot import plot_comparison
from llama_index_ko_rerank.evaluate.report import EvaluationReport, SystemResult
from llama_index_ko_rerank.evaluate.runner import SearchSystem, evaluate_retrieval
from llama_index_ko_rerank.evaluate.significance import Interval, bootstrap_interval, paired_difference

__all__ = [
    "METRICS",
    "Correlation",
    "CorrelationReport",
    "EvaluationReport",
    "Interval",
    "SearchSystem",
    "SystemResult",
    "bootstrap_interval",
    "cosine_scorer",
    "evaluate_retrieval",
    "hit_at_k",
    "mrc_correlation",
    "ndcg_at_k",
    "pair_correlation",
    "paired_difference",
    "plot_comparison",
    "recall_at_k",
    "reciprocal_rank_at_k",
    "sts_correlation",
]
