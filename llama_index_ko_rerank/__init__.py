"""Korean retrieval and reranking for LlamaIndex.

The names below are resolved on first use, so that importing the package loads no model library.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.answer import build_chat_engine, build_query_engine, connect_llm
    from llama_index_ko_rerank.collection import Collection
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset, load_pair_dataset
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.evaluate import SearchSystem, evaluate_retrieval
    from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer, rerank_texts
    from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
    from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
    from llama_index_ko_rerank.retrieve.fusion import convex_combination, reciprocal_rank_fusion
    from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
    from llama_index_ko_rerank.store import DurableFaissVectorStore, build_index, open_index
    from llama_index_ko_rerank.train import train_bi_encoder, train_cross_encoder
    from llama_index_ko_rerank.train.tuning.fusion import fit_weights
    from llama_index_ko_rerank.train.tuning.search import tune_search

_HOMES = {
    "build_chat_engine": "answer",
    "build_query_engine": "answer",
    "connect_llm": "answer",
    "Collection": "collection",
    "dataset_nodes": "data",
    "load_dataset": "data",
    "load_pair_dataset": "data",
    "KoreanEmbedding": "embed",
    "SearchSystem": "evaluate",
    "evaluate_retrieval": "evaluate",
    "rerank_texts": "rerank.cross_encoder.scorer",
    "CrossEncoderNodePostprocessor": "rerank.cross_encoder.postprocessor",
    "ScorerSettings": "rerank.cross_encoder.scorer",
    "load_scorer": "rerank.cross_encoder.scorer",
    "LearningToRankPostprocessor": "rerank.ltr.postprocessor",
    "KoreanBM25Retriever": "retrieve.bm25",
    "convex_combination": "retrieve.fusion",
    "reciprocal_rank_fusion": "retrieve.fusion",
    "HybridRetriever": "retrieve.hybrid",
    "DurableFaissVectorStore": "store",
    "build_index": "store",
    "open_index": "store",
    "tune_search": "train.tuning.search",
    "fit_weights": "train.tuning.fusion",
    "train_bi_encoder": "train",
    "train_cross_encoder": "train",
}

__all__ = [
    "Collection",
    "CrossEncoderNodePostprocessor",
    "DurableFaissVectorStore",
    "HybridRetriever",
    "KoreanBM25Retriever",
    "KoreanEmbedding",
    "LearningToRankPostprocessor",
    "ScorerSettings",
    "SearchSystem",
    "build_chat_engine",
    "build_index",
    "build_query_engine",
    "connect_llm",
    "convex_combination",
    "dataset_nodes",
    "evaluate_retrieval",
    "fit_weights",
    "load_dataset",
    "load_pair_dataset",
    "load_scorer",
    "open_index",
    "reciprocal_rank_fusion",
    "rerank_texts",
    "train_bi_encoder",
    "train_cross_encoder",
    "tune_search",
]

__version__ = version("llama-index-ko-rerank")
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
