"""KLUE MRC and KLUE STS: from the hub at a pinned revision, the benchmark's own files, or the hub's parquet files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from llama_index_ko_rerank.data.dataset import (
    DatasetSource,
    Entry,
    PairDataset,
    RetrievalDataset,
    SentencePair,
    assemble,
    require_rows,
)
from llama_index_ko_rerank.data.records import Record, in_one_line, read_parquet, read_records
from llama_index_ko_rerank.data.squad import answer_text, read_articles
from llama_index_ko_rerank.errors import DatasetUnavailable

HUB_NAME = "klue/klue"
HUB_REVISION = "349481ec73fff722f88e0453ca05c77a447d967c"
HIGHEST_STS_LABEL = 5

_Task = Literal["mrc", "sts"]
_Files = dict[str, list[Path]]
_BENCHMARK_NAMES = {"train": "train", "validation": "dev"}
_SPLIT_IN_NAME = re.compile("(?:^|[_-])(train|dev|validation)(?:$|[_-])")


def open_klue_mrc(spec: str, path: Path | None) -> DatasetSource:
    """Find KLUE MRC: questions on Korean news and Wikipedia.

    The collection of a split is its own contexts. An impossible question only adds its context.

    Args:
        spec: The spec that the data set is named by.
        path: None for the hub. Otherwise a benchmark file or hub parquet file, whose split is read from its name
            (``_train``, ``_dev``, ``validation-``; `train` for any other name), or a folder with
            ``klue-mrc-v1.1_train.json`` and ``klue-mrc-v1.1_dev.json``, or with the hub's ``train-*.parquet`` and
            ``validation-*.parquet`` in it or in its folder ``mrc``. Where both are there, the benchmark's file is read.

    Raises:
        DatasetUnavailable: The folder has none of these files.
    """
    if path is None:
        return DatasetSource("retrieval", tuple(_BENCHMARK_NAMES), partial(_load_hub_mrc, spec))
    files = _find_files(path, "mrc")
    return DatasetSource("retrieval", tuple(files), lambda split: _load_local_mrc(spec, files[split], split))


def open_klue_sts(spec: str, path: Path | None) -> DatasetSource:
    """Find KLUE STS: sentence pairs with a similarity of 0-5, divided by 5 here.

    Args:
        spec: The spec that the data set is named by.
        path: None for the hub, or a file or folder as for KLUE MRC, with ``sts`` instead of ``mrc``.

    Raises:
        DatasetUnavailable: The folder has no file of KLUE STS.
    """
    if path is None:
        return DatasetSource(
            "sentence-pairs", tuple(_BENCHMARK_NAMES), lambda split: _sts_pairs(spec, split, _hub_records("sts", split))
        )
    files = _find_files(path, "sts")
    return DatasetSource(
        "sentence-pairs", tuple(files), lambda split: _sts_pairs(spec, split, _local_sts_records(files[split]))
    )


def _find_files(path: Path, task: _Task) -> _Files:
    """Map each split that is there to its files."""
    if not path.is_dir():
        found = _SPLIT_IN_NAME.search(path.stem)
        return {"train" if not found or found[1] == "train" else "validation": [path]}
    files: _Files = {}
    for split, benchmark_name in _BENCHMARK_NAMES.items():
        benchmark_file = path / f"klue-{task}-v1.1_{benchmark_name}.json"
        chosen = [benchmark_file] if benchmark_file.is_file() else _parquet_files(path, task, split)
        if chosen:
            files[split] = chosen
    if not files:
        raise DatasetUnavailable(
            f"{path} has neither klue-{task}-v1.1_train.json nor klue-{task}-v1.1_dev.json, "
            f"nor train-*.parquet or validation-*.parquet in it or in {task}/"
        )
    return files


def _parquet_files(folder: Path, task: _Task, split: str) -> list[Path]:
    for parent in (folder / task, folder):
        chosen = sorted(
            file for file in parent.glob("*.parquet") if file.stem == split or file.stem.startswith(f"{split}-")
        )
        if chosen:
            return chosen
    return []


def _hub_records(task: _Task, split: str) -> list[Record]:
    import datasets
    import httpx

    try:
        rows = datasets.load_dataset(HUB_NAME, task, revision=HUB_REVISION, split=split)
    except (OSError, ValueError, httpx.HTTPError, datasets.exceptions.DatasetsError) as error:
        raise DatasetUnavailable(
            f"klue-{task}: tried {HUB_NAME} ({task}, revision {HUB_REVISION[:8]}) on the hub and in its cache, and got "
            f"{in_one_line(error)}; with no network use klue-{task}:PATH, the benchmark's klue-{task}-v1.1_train.json "
            "and _dev.json or a folder with them"
        ) from error
    return [Record(row, f"{HUB_NAME} {task} {split}", f"row [{index}]") for index, row in enumerate(rows)]


def _load_hub_mrc(spec: str, split: str) -> RetrievalDataset:
    entries = [_flat_entry(row, split) for row in _hub_records("mrc", split)]
    return assemble(spec, split, entries, id_field="guid")


def _load_local_mrc(spec: str, files: Sequence[Path], split: str) -> RetrievalDataset:
    entries: list[Entry] = []
    for file in files:
        if file.suffix == ".parquet":
            entries += [_flat_entry(row, split) for row in read_parquet(file)]
        else:
            entries += [entry for article in read_articles(file, id_field="guid", split=split) for entry in article]
    return assemble(spec, split, entries, id_field="guid")


def _flat_entry(row: Record, split: str) -> Entry:
    """Read a row of the hub's layout: one question, its context and title, its answers as columns."""
    context, title = row.text("context"), row.title()
    if row.boolean("is_impossible"):
        return Entry(row.where, context, title, is_impossible=True)
    raw_context = str(row.values["context"])
    return Entry(
        row.where,
        context,
        title,
        question=row.text("question"),
        question_id=row.identifier("guid"),
        answers=tuple(answer_text(answer, raw_context) for answer in _answer_records(row.inner("answers"))),
        split=split,
    )


def _answer_records(answers: Record) -> list[Record]:
    texts, starts = answers.items("text"), answers.items("answer_start")
    if len(texts) != len(starts):
        raise answers.error("answer_start", f"has {len(starts)} values for {len(texts)} of 'text'")
    return [
        Record({"text": text, "answer_start": start}, answers.file, f"{answers.location}[{index}]")
        for index, (text, start) in enumerate(zip(texts, starts, strict=True))
    ]


def _local_sts_records(files: Sequence[Path]) -> list[Record]:
    return [row for file in files for row in (read_parquet(file) if file.suffix == ".parquet" else read_records(file))]


def _sts_pairs(spec: str, split: str, rows: Sequence[Record]) -> PairDataset:
    require_rows(rows, spec)
    return PairDataset(spec, split, tuple(_sts_pair(row) for row in rows))


def _sts_pair(row: Record) -> SentencePair:
    labels = row.inner("labels")
    label = labels.number("label")
    if not 0 <= label <= HIGHEST_STS_LABEL:
        raise labels.error("label", f"must be in 0-{HIGHEST_STS_LABEL}, not {label}")
    return SentencePair(row.text("sentence1"), row.text("sentence2"), label / HIGHEST_STS_LABEL)
