"""What an adaptation gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_index_ko_rerank.ingest.documents import SkippedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult:
    """An adapted collection, and how it came about.

    Attributes:
        folder: The collection, which `Collection.open` takes.
        documents: How many documents are in it.
        passages: How many passages.
        refused: Files that could not be read, with the reasons.
        embedding: Which embedding stayed: ``base``, ``words of the corpus`` or ``trained``.
        report: What ``report.json`` says: every figure with its 95 % interval, and how many questions it is of.
        seconds: How long this call took; of a resumed run, its last part.
    """

    folder: Path
    documents: int
    passages: int
    refused: tuple[SkippedFile, ...]
    embedding: str
    report: dict[str, Any]
    seconds: float
