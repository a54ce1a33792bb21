"""Loading a data set by its spec string, the same in the trainers, the evaluation and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llama_index_ko_rerank.data.dataset import ALL, DatasetKind, DatasetSource, PairDataset, RetrievalDataset
from llama_index_ko_rerank.data.klue import open_klue_mrc, open_klue_sts
from llama_index_ko_rerank.data.pairs import open_pairs
from llama_index_ko_rerank.data.records import in_one_line
from llama_index_ko_rerank.data.sample import open_sample
from llama_index_ko_rerank.data.squad import open_squad
from llama_index_ko_rerank.errors import DatasetUnavailable, UnknownDataset, nearest

_WITHOUT_PATH: dict[str, Callable[[str], DatasetSource]] = {
    "sample": open_sample,
    "klue-mrc": lambda spec: open_klue_mrc(spec, None),
    "klue-sts": lambda spec: open_klue_sts(spec, None),
}
_WITH_PATH: dict[str, Callable[[str, Path], DatasetSource]] = {
    "klue-mrc": open_klue_mrc,
    "klue-sts": open_klue_sts,
    "squad": open_squad,
    "pairs": open_pairs,
}
_HOLDS: dict[DatasetKind, str] = {
    "retrieval": "questions with passages",
    "sentence-pairs": "labelled sentence pairs",
}
_EXAMPLES: dict[DatasetKind, str] = {
    "retrieval": "sample, klue-mrc, squad:PATH, or pairs:PATH with question and context",
    "sentence-pairs": "klue-sts, or pairs:PATH with sentence1, sentence2 and label",
}


def load_dataset(spec: str, split: str | None = None) -> RetrievalDataset:
    """Load a collection and the questions to ask of it.

    ============================  ==========================  ============================================
    spec                          splits                      collection
    ============================  ==========================  ============================================
    ``sample``                    train, validation           the passages of both splits
    ``klue-mrc``                  train, validation           the contexts of the split, from the hub
    ``klue-mrc:PATH``             those that PATH has         the contexts of the split, from a file or folder
    ``squad:PATH``                tune, test, all             every paragraph of the file
    ``pairs:PATH``                those that PATH has, all    every context of the file
    ============================  ==========================  ============================================

    Args:
        spec: What to load; PATH may start with ``~``.
        split: Where None, `all` of ``squad`` and ``pairs``, otherwise the first split that is there: `train`, or
            `validation` of a folder or file that has only that.

    Raises:
        UnknownDataset: No such spec or split, or a spec that holds sentence pairs.
        DatasetUnavailable: PATH is missing or cannot be read, or the hub is out of reach.
        MalformedData: A file is not in the layout that the spec names.
        EmptyCorpus: A file has no rows.
    """
    dataset = _load(spec, split, "retrieval")
    assert isinstance(dataset, RetrievalDataset)  # what a source of this kind gives
    return dataset


def load_pair_dataset(spec: str, split: str | None = None) -> PairDataset:
    """Load labelled sentence pairs: ``klue-sts``, ``klue-sts:PATH`` or ``pairs:PATH``.

    Args:
        spec: What to load; PATH may start with ``~``.
        split: Where None, `all` of ``pairs``, otherwise the first split that is there, `train` before `validation`.

    Raises:
        UnknownDataset: No such spec or split, or a spec that holds questions with passages.
        DatasetUnavailable: PATH is missing or cannot be read, or the hub is out of reach.
        MalformedData: A file is not in the layout that the spec names.
        EmptyCorpus: A file has no rows.
    """
    dataset = _load(spec, split, "sentence-pairs")
    assert isinstance(dataset, PairDataset)  # what a source of this kind gives
    return dataset


def available_splits(spec: str) -> tuple[str, ...]:
    """List the splits of a data set, in its own order, without going to the hub.

    Raises:
        UnknownDataset: No such spec.
        DatasetUnavailable: PATH is missing or cannot be read.
        MalformedData: A file of ``pairs`` is in neither layout.
        EmptyCorpus: A file of ``pairs`` has no rows.
    """
    return _open(spec).splits


def dataset_kind(spec: str) -> DatasetKind:
    """Say whether a spec is one for `load_dataset` (``retrieval``) or `load_pair_dataset` (``sentence-pairs``).

    Raises:
        UnknownDataset: No such spec.
        DatasetUnavailable: PATH is missing or cannot be read.
        MalformedData: A file of ``pairs`` is in neither layout.
        EmptyCorpus: A file of ``pairs`` has no rows.
    """
    return _open(spec).kind


def _load(spec: str, split: str | None, wanted: DatasetKind) -> RetrievalDataset | PairDataset:
    source = _open(spec)
    if source.kind != wanted:
        raise UnknownDataset(
            f"{spec!r} holds {_HOLDS[source.kind]}, and {_HOLDS[wanted]} are needed here: {_EXAMPLES[wanted]}"
        )
    if split is None:
        split = ALL if ALL in source.splits else source.splits[0]
    if split not in source.splits:
        raise UnknownDataset(f"{spec!r} has no split {split!r}; {nearest(split, source.splits)}")
    return source.load(split)


def _open(spec: str) -> DatasetSource:
    name, colon, path = spec.partition(":")
    if name not in _WITHOUT_PATH and name not in _WITH_PATH:
        raise UnknownDataset(f"no data set is called {name!r}; {nearest(name, {*_WITHOUT_PATH, *_WITH_PATH})}")
    if not colon and name in _WITHOUT_PATH:
        return _WITHOUT_PATH[name](spec)
    if name not in _WITH_PATH:
        raise UnknownDataset(f"{name!r} takes no path, and {spec!r} has one")
    if not path:
        raise UnknownDataset(f"{spec!r} names no file; write {name}:PATH")
    return _WITH_PATH[name](spec, _existing(spec, path))


def _existing(spec: str, name: str) -> Path:
    try:
        path = Path(name).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetUnavailable(f"{spec!r} cannot be opened from {Path.cwd()}: {in_one_line(error)}") from error
    return path
