"""Questions as hurried people type them: with spaces missing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from llama_index_ko_rerank.train.synthesis.noise import drop_space


def drop_spaces(questions: Sequence[str], share: float, *, seed: int) -> list[str]:
    """Take spaces out of a share of the questions; a question that stands twice loses the same ones twice.

    Args:
        questions: Normalised (NFC), which is the other half of reading what people type.
        share: How many of them, 0-1.
        seed: With the text itself it decides what is lost.

    Returns:
        As many questions, in the same order.
    """
    return [_lost(question, share, random.Random(f"{seed} {question}")) for question in questions]


def _lost(question: str, share: float, generator: random.Random) -> str:
    return drop_space(question, generator) if generator.random() < share else question
