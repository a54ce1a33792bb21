"""The model cards of the shipped models."""

from __future__ import annotations

from pathlib import Path


def write_cards(models: Path, work: Path) -> None:
    """Write both cards."""
