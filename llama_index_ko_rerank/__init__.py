"""Korean retrieval and reranking for LlamaIndex.

The names below are resolved on first use, so that importing the package loads no model library.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from llama_index_ko_rerank._lazy import lazy_exports

if TYPE_CHECKING:
    from llama_index_ko_rerank.adapt import AdaptSettings as AdaptSettings
    from llama_index_ko_rerank.adapt import adapt_to_documents as adapt_to_documents
    from llama_index_ko_rerank.answer import build_chat_engine as build_chat_engine
    from llama_index_ko_rerank.answer import build_query_engine as build_query_engine
    from llama_index_ko_rerank.answer import connect_llm as connect_llm
    from llama_index_ko_rerank.catalog import list_models as list_models
    from llama_index_ko_rerank.collection import Collection as Collection
    from llama_index_ko_rerank.collection import CollectionSettings as CollectionSettings
    from llama_index_ko_rerank.data import dataset_nodes as dataset_nodes
    from llama_index_ko_rerank.data import load_dataset as load_dataset
    from llama_index_ko_rerank.data import load_pair_dataset as load_pair_dataset
    from llama_index_ko_rerank.embed import KoreanEmbedding as KoreanEmbedding
    from llama_index_ko_rerank.errors import KoRerankError as KoRerankError
    from llama_index_ko_rerank.evaluate import SearchSystem as SearchSystem
    from llama_index_ko_rerank.evaluate import evaluate_retrieval as evaluate_retrieval
    from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import (
        CrossEncoderNodePostprocessor as CrossEncoderNodePostprocessor,
    )
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings as ScorerSettings
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import load_scorer as load_scorer
    from llama_index_ko_rerank.rerank.cross_encoder.scorer import rerank_texts as rerank_texts
    from llama_index_ko_rerank.rerank.ltr.postprocessor import (
        LearningToRankPostprocessor as LearningToRankPostprocessor,
    )
    from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever as KoreanBM25Retriever
    from llama_index_ko_rerank.retrieve.fusion import convex_combination as convex_combination
    from llama_index_ko_rerank.retrieve.fusion import reciprocal_rank_fusion as reciprocal_rank_fusion
    from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever as HybridRetriever
    from llama_index_ko_rerank.store import DurableFaissVectorStore as DurableFaissVectorStore
    from llama_index_ko_rerank.store import IndexSettings as IndexSettings
    from llama_index_ko_rerank.store import build_index as build_index
    from llama_index_ko_rerank.store import open_index as open_index
    from llama_index_ko_rerank.text.splitter import KoreanSentenceSplitter as KoreanSentenceSplitter
    from llama_index_ko_rerank.train import train_bi_encoder as train_bi_encoder
    from llama_index_ko_rerank.train import train_cross_encoder as train_cross_encoder
    from llama_index_ko_rerank.train.tuning.fusion import fit_weights as fit_weights
    from llama_index_ko_rerank.train.tuning.search import tune_search as tune_search
    from llama_index_ko_rerank.types import RankedNode as RankedNode

_HOMES = {
    "AdaptSettings": "adapt",
    "adapt_to_documents": "adapt",
    "build_chat_engine": "answer",
    "build_query_engine": "answer",
    "connect_llm": "answer",
    "list_models": "catalog",
    "Collection": "collection",
    "CollectionSettings": "collection",
    "dataset_nodes": "data",
    "load_dataset": "data",
    "load_pair_dataset": "data",
    "KoreanEmbedding": "embed",
    "KoRerankError": "errors",
    "SearchSystem": "evaluate",
    "evaluate_retrieval": "evaluate",
    "CrossEncoderNodePostprocessor": "rerank.cross_encoder.postprocessor",
    "ScorerSettings": "rerank.cross_encoder.scorer",
    "load_scorer": "rerank.cross_encoder.scorer",
    "rerank_texts": "rerank.cross_encoder.scorer",
    "LearningToRankPostprocessor": "rerank.ltr.postprocessor",
    "KoreanBM25Retriever": "retrieve.bm25",
    "convex_combination": "retrieve.fusion",
    "reciprocal_rank_fusion": "retrieve.fusion",
    "HybridRetriever": "retrieve.hybrid",
    "DurableFaissVectorStore": "store",
    "IndexSettings": "store",
    "build_index": "store",
    "open_index": "store",
    "KoreanSentenceSplitter": "text.splitter",
    "train_bi_encoder": "train",
    "train_cross_encoder": "train",
    "fit_weights": "train.tuning.fusion",
    "tune_search": "train.tuning.search",
    "RankedNode": "types",
}

__all__ = sorted(_HOMES)  # the imports above re-export each name for type checkers

__version__ = version("llama-index-ko-rerank")
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
