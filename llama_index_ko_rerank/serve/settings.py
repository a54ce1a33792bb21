"""What the service serves, and how much of it at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from llama_index_ko_rerank.errors import InvalidSetting, nearest

# The reranker's own `ScorerDtype` once more: its module loads transformers, and `ko-rerank --help` must not.
RerankDtype = Literal["float32", "bfloat16", "auto"]
SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the service serves, and its limits.

    Attributes:
        collection: The folder of a collection for ``/search``; none where None.
        rerank_model: A catalog or hub name, or a folder. Where None that of the collection, or the one in the wheel.
        embed_model: Likewise.
        dtype: What the reranker computes in, as in `CrossEncoderNodePostprocessor`.
        cascade: Whether it reads all candidates in bfloat16 first, likewise.
        max_payload_bytes: Most bytes of a request's body.
        max_texts: Most candidates or inputs of a request.
        max_text_characters: Most characters of a question, a candidate or an input.
        max_concurrent: How many requests the models work on at once; those of a moment share one forward.
        max_waiting: How many more requests may be under way; one beyond that is refused with 429.
        max_wait_s: How long a request waits for its turn before it is refused with 503.
        api_key: What a client must show as ``Authorization: Bearer KEY``; nothing where None.
        log_texts: Whether questions and texts are written to the log.

    Raises:
        InvalidSetting: A limit is under 1, `max_waiting` is under 0, `max_wait_s` is no time above 0, `dtype` is
            unknown, or the key is shorter than 16 characters or not of printable ASCII.
    """

    collection: Path | None = None
    rerank_model: str | None = None
    embed_model: str | None = None
    dtype: RerankDtype = "float32"
    cascade: bool = False
    max_payload_bytes: int = 1_048_576
    max_texts: int = 256
    max_text_characters: int = 20_000
    max_concurrent: int = 64
    max_waiting: int = 256
    max_wait_s: float = 10.0
    api_key: str | None = field(default=None, repr=False)
    log_texts: bool = False

    def __post_init__(self) -> None:
        for name in ("max_payload_bytes", "max_texts", "max_text_characters", "max_concurrent"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.max_waiting < 0:
            raise InvalidSetting(f"max_waiting must be 0 or more, not {self.max_waiting}")
        if not (math.isfinite(self.max_wait_s) and self.max_wait_s > 0):
            raise InvalidSetting(f"max_wait_s must be a number of seconds above 0, not {self.max_wait_s}")
        if self.dtype not in get_args(RerankDtype):
            raise InvalidSetting(f"there is no dtype {self.dtype!r}; {nearest(str(self.dtype), get_args(RerankDtype))}")
        if self.api_key is not None:
            _check_key(self.api_key)


def _check_key(key: str) -> None:
    if len(key) < SHORTEST_KEY:
        raise InvalidSetting(f"an API key needs {SHORTEST_KEY} characters or more; this one has {len(key)}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidSetting(
            "an API key is made of printable ASCII characters with no space, since a header carries it"
        )
