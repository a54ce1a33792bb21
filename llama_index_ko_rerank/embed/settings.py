"""The settings of an embedding, refused at the door where they cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from llama_index_ko_rerank.catalog import PoolingMode
from llama_index_ko_rerank.errors import InvalidSetting, nearest

DtypeName = Literal["float32", "float16", "bfloat16", "auto"]

LARGEST_BATCH = 2048  # LlamaIndex's own bound


def refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a setting that there is not, which pydantic would ignore in silence.

    Raises:
        InvalidSetting: There is an unknown name; the message has the nearest known one.
    """
    for name in unknown:
        raise InvalidSetting(f"there is no setting {name!r}; {nearest(name, known)}")


def check_settings(
    *, pooling: str | None, dtype: str, overflow: str, max_length: int | None, embed_batch_size: int, normalize: bool
) -> None:
    """Refuse values that no embedding can have.

    Raises:
        InvalidSetting: A value is out of range or not among the known ones.
    """
    if pooling is not None and pooling not in get_args(PoolingMode):
        raise InvalidSetting(f"there is no pooling {pooling!r}; {nearest(str(pooling), get_args(PoolingMode))}")
    if dtype not in get_args(DtypeName):
        raise InvalidSetting(f"there is no dtype {dtype!r}; {nearest(str(dtype), get_args(DtypeName))}")
    if overflow not in ("truncate", "window"):
        raise InvalidSetting(f"there is no overflow {overflow!r}; {nearest(str(overflow), ('truncate', 'window'))}")
    if max_length is not None and max_length < 1:
        raise InvalidSetting(f"max_length is a number of tokens, at least 1, or None; got {max_length}")
    if not 1 <= embed_batch_size <= LARGEST_BATCH:
        raise InvalidSetting(f"embed_batch_size must be 1-{LARGEST_BATCH}; got {embed_batch_size}")
    if not normalize:
        raise InvalidSetting("normalize=False is not possible: similarities here are inner products of unit vectors")
