"""What a cross-encoder is loaded by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llama_index_ko_rerank.rerank.passage_pairs import LongPassage

ScorerDtype = Literal["float32", "bfloat16", "auto", "screen"]
SHORTEST_MAX_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """What a cross-encoder is loaded by; equal settings share one loaded model.

    Attributes:
        model: A catalog name, a hub name, or a folder.
        device: ``cpu``, ``cuda`` and so on; torch's choice where None.
        max_length: Most tokens of question and passage together; the model's own where None.
        trust_remote_code: Whether code from the model's repository may run.
        local_files_only: Whether the hub is left alone.
        dtype: ``float32``; ``bfloat16``; ``auto``, which is bfloat16 where the device is fast at it; or ``screen``,
            which looks at all candidates in bfloat16 and computes in float32 those that may be among the first.
        token_budget: Most tokens that the model reads at once; what suits the forward where None.
        long_passage: Whether a passage that is too long is read in windows or cut.
        label: The class whose probability counts, by name or number, for a model that has several.
    """

    model: str
    device: str | None = None
    max_length: int | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    dtype: ScorerDtype = "float32"
    token_budget: int | None = None
    long_passage: LongPassage = "window"
    label: str | int | None = None
