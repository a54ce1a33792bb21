"""SQuAD and KorQuAD files, with the two halves that every measurement of this project uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llama_index_ko_rerank.data.articles import read_articles
from llama_index_ko_rerank.data.assemble import ALL, assemble
from llama_index_ko_rerank.data.dataset import RetrievalDataset
from llama_index_ko_rerank.data.source import Source

_SPLITS = ("tune", "test", ALL)


def open_squad(spec: str, path: Path) -> Source:
    """Find a SQuAD file.

    `tune` has the questions of the articles with an even number, `test` those with an odd one, counted from 0 in
    file order, and `all` both. The collection is always every paragraph of the file.

    Args:
        spec: The spec that the data set is named by.
        path: A JSON file in the layout of SQuAD 1.1 or 2.0; impossible questions only add their paragraph.
    """
    return Source("retrieval", _SPLITS, lambda split: _load(spec, path, split))


def _load(spec: str, path: Path, split: str) -> RetrievalDataset:
    entries = [
        replace(entry, split="tune" if number % 2 == 0 else "test")
        for number, article in enumerate(read_articles(path, id_field="id"))
        for entry in article
    ]
    return assemble(spec, split, entries)
