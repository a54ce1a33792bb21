"""Korean retrieval and reranking for LlamaIndex.

The names below are resolved on first use, so that importing the package loads no model library.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from llama_index_ko_rerank.lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.answer import build_chat_engine, build_query_engine, connect_llm
    from llama_index_ko_rerank.answer.collection import open_collection
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset, load_sentence_pairs
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.evaluate import SearchSystem, evaluate_retrieval
    from llama_index_ko_rerank.rerank.ltr_postprocessor import LearningToRankPostprocessor
    from llama_index_ko_rerank.rerank.plain import rerank_texts
    from llama_index_ko_rerank.rerank.postprocessor import CrossEncoderNodePostprocessor
    from llama_index_ko_rerank.rerank.scorer import ScorerSettings, load_scorer
    from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
    from llama_index_ko_rerank.retrieve.fusion import convex_combination, reciprocal_rank_fusion
    from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
    from llama_index_ko_rerank.store import DurableFaissVectorStore, build_index, open_index
    from llama_index_ko_rerank.train import train_bi_encoder, train_cross_encoder
    from llama_index_ko_rerank.train.fusion_weights import fit_weights
    from llama_index_ko_rerank.train.search_fit import fit_search

_HOMES = {
    "build_chat_engine": "answer",
    "build_query_engine": "answer",
    "connect_llm": "answer",
    "open_collection": "answer.collection",
    "dataset_nodes": "data",
    "load_dataset": "data",
    "load_sentence_pairs": "data",
    "KoreanEmbedding": "embed",
    "SearchSystem": "evaluate",
    "evaluate_retrieval": "evaluate",
    "rerank_texts": "rerank.plain",
    "CrossEncoderNodePostprocessor": "rerank.postprocessor",
    "ScorerSettings": "rerank.scorer",
    "load_scorer": "rerank.scorer",
    "LearningToRankPostprocessor": "rerank.ltr_postprocessor",
    "KoreanBM25Retriever": "retrieve.bm25",
    "convex_combination": "retrieve.fusion",
    "reciprocal_rank_fusion": "retrieve.fusion",
    "HybridRetriever": "retrieve.hybrid",
    "DurableFaissVectorStore": "store",
    "build_index": "store",
    "open_index": "store",
    "fit_search": "train.search_fit",
    "fit_weights": "train.fusion_weights",
    "train_bi_encoder": "train",
    "train_cross_encoder": "train",
}

__all__ = [
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
    "fit_search",
    "fit_weights",
    "load_dataset",
    "load_scorer",
    "load_sentence_pairs",
    "open_collection",
    "open_index",
    "reciprocal_rank_fusion",
    "rerank_texts",
    "train_bi_encoder",
    "train_cross_encoder",
]

__version__ = version("llama-index-ko-rerank")
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
