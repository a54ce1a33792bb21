"""Settings of an index: the kind of its FAISS index, and the type of the vectors in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isqrt
from typing import Any, Literal, get_args

from llama_index_ko_rerank.errors import InvalidSetting, nearest

IndexKind = Literal["flat", "ivf"]
VectorType = Literal["float32", "float16"]
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)

FLAT_UP_TO_NUMBERS = 2**29
"""The most numbers that ``auto`` scans for one query: 537 million, 1,048,576 vectors of 512 numbers."""

_KINDS = ("auto", *get_args(IndexKind))
_RANGES = (("oversampling", 1, 1000), ("ivf_lists", 1, 1_000_000))


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Settings of the FAISS index: the kind, and the effort of a search. Cosines always come from the table's vectors.

    - ``flat`` holds 16-bit floats and reads all of them: exact, half the memory of 32-bit floats, and no file.
    - ``ivf`` holds 8-bit numbers in lists of neighbours, and reads the lists nearest to the query: approximate.
    - ``auto`` is ``flat`` while the vectors are at most `FLAT_UP_TO_NUMBERS` numbers in all, and ``ivf`` above:
      reading 186,223 x 512 numbers of 16 bits takes half the time of FAISS's flat 32-bit index, and misses nothing.

    Attributes:
        kind: ``auto``, ``flat`` or ``ivf``.
        oversampling: Candidates of ``ivf`` for each requested result, 1 to 1,000; the best by exact cosine are kept.
        ivf_lists: Number of lists. Defaults to four times the root of the number of vectors.
        ivf_probed_share: Share of the lists that a search reads, above 0 and at most 1.
    """

    kind: Literal["auto", "flat", "ivf"] = "auto"
    oversampling: int = 4
    ivf_lists: int | None = None
    ivf_probed_share: float = 0.4

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InvalidSetting(f"there is no index kind {self.kind!r}; {nearest(str(self.kind), _KINDS)}")
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is None and name == "ivf_lists":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InvalidSetting(f"{name} is a whole number of {least} to {most}, not {value!r}")
        share = self.ivf_probed_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise InvalidSetting(f"ivf_probed_share is above 0 and at most 1, not {share!r}")

    @classmethod
    def of(cls, settings: IndexSettings | Mapping[str, Any]) -> IndexSettings:
        """Take settings as they are, or make them from what `as_dict` gave.

        Raises:
            InvalidSetting: An unknown key, or a value out of range.
        """
        if isinstance(settings, IndexSettings):
            return settings
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise InvalidSetting(f"{name!r} is no index setting; {nearest(str(name), known)}")
        return cls(**settings)

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values, from which `of` makes equal settings."""
        return asdict(self)

    def kind_for(self, count: int, dimension: int) -> IndexKind:
        """Choose the kind for so many vectors; the rule is in the docstring of the class."""
        if self.kind == "auto":
            return "flat" if count * dimension <= FLAT_UP_TO_NUMBERS else "ivf"
        return "flat" if count == 0 else self.kind

    def lists_for(self, count: int) -> int:
        """Choose the number of lists, never more than there are vectors."""
        return max(1, min(self.ivf_lists or 4 * isqrt(count), count))


def check_vector_type(name: object) -> VectorType:
    """Refuse a type of vectors that the table does not keep.

    Raises:
        InvalidSetting: It is neither ``float32`` nor ``float16``.
    """
    for known in VECTOR_TYPES:
        if name == known:
            return known
    raise InvalidSetting(f"vector_dtype is 'float32' or 'float16', not {name!r}")
