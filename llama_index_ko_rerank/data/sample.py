"""The Korean text that ships with the package, written for it: invented rules, products, recipes and places."""

from __future__ import annotations

from pathlib import Path

from llama_index_ko_rerank.data.dataset import DatasetSource, RetrievalDataset, assemble
from llama_index_ko_rerank.data.squad import read_articles

_FOLDER = Path(__file__).parent / "sample"
_SPLITS = ("train", "validation")


def open_sample(spec: str, folder: Path = _FOLDER) -> DatasetSource:
    """Find the sample.

    Args:
        spec: The spec that the data set is named by.
        folder: Where ``sample_train.json`` and ``sample_validation.json`` are, in the layout of KLUE MRC's own files.
            The collection of both splits is the passages of both files, train's first, since the neighbours of a
            passage are what makes it hard to find.
    """
    return DatasetSource("retrieval", _SPLITS, lambda split: _load(spec, folder, split))


def _load(spec: str, folder: Path, split: str) -> RetrievalDataset:
    entries = [
        entry
        for name in _SPLITS
        for article in read_articles(folder / f"sample_{name}.json", id_field="guid", split=name)
        for entry in article
    ]
    return assemble(spec, split, entries, id_field="guid")
