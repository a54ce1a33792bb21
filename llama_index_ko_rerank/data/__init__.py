"""Data sets in one shape, named by one spec string."""

from llama_index_ko_rerank.data.dataset import (
    PairDataset,
    Passage,
    Question,
    RetrievalDataset,
    SentencePair,
    TrainingPair,
    dataset_nodes,
)
from llama_index_ko_rerank.data.load import available_splits, dataset_kind, load_dataset, load_pair_dataset
from llama_index_ko_rerank.data.random_negatives import irrelevant_contexts

__all__ = [
    "PairDataset",
    "Passage",
    "Question",
    "RetrievalDataset",
    "SentencePair",
    "TrainingPair",
    "available_splits",
    "dataset_kind",
    "dataset_nodes",
    "irrelevant_contexts",
    "load_dataset",
    "load_pair_dataset",
]
