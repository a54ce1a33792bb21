"""Metadata filters of LlamaIndex, compiled once and then matched against any metadata; pure functions."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from llama_index_ko_rerank.errors import InvalidFilter, UnsupportedQuery, nearest
from llama_index_ko_rerank.text.normalize import check_text

SOURCE_KEYS = frozenset({"ref_doc_id", "doc_id", "document_id"})
"""Keys that mean the id of the node's document where its metadata have no such key of their own."""

Truth = TypeVar("Truth")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of one key, whose value fits its operator.

    Attributes:
        key: The key of the metadata.
        operator: One of LlamaIndex's.
        value: What the metadata's value is compared with; strings in NFC.
    """

    key: str
    operator: FilterOperator
    value: Any

    def holds(self, found: object) -> bool:
        """Say whether a metadata value meets the condition; None stands for a key that is missing.

        Raises:
            InvalidFilter: The two cannot be compared, such as a string by "greater than 3".
        """
        if self.operator is FilterOperator.IS_EMPTY:
            return found is None or found in ("", [])
        if found is None:
            return self.operator in (FilterOperator.NE, FilterOperator.NIN)
        try:
            return bool(_HOLDS[self.operator](in_nfc(found), self.value))
        except TypeError as error:
            raise InvalidFilter(
                f"the filter {self.key!r} {self.operator.value} {self.value!r} cannot be applied to the value "
                f"{found!r:.80} ({type(found).__name__}) of a node; filter by a value of that type, or index the "
                "metadata with one type throughout"
            ) from error


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions and groups, joined: all of them, any of them, or none of them; at least one."""

    join: FilterCondition
    parts: tuple[Condition | Group, ...]


def compile_filters(filters: MetadataFilters | None) -> Group | None:
    """Check filters and bring them to a form that needs no more checks.

    Returns:
        None where there is no restriction: filters of None, and filters without conditions.

    Raises:
        UnsupportedQuery: An unknown operator or way of joining.
        InvalidFilter: A value that its operator cannot take: no list for ``in``, no text for ``text_match``, or None.
        InvalidText: A key or a value holds lone surrogates.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidFilter(f"filters are LlamaIndex's MetadataFilters, not {type(filters).__name__}")
    parts: list[Condition | Group] = []
    for part in filters.filters:
        compiled = compile_filters(part) if isinstance(part, MetadataFilters) else _compile_condition(part)
        if compiled is not None:
            parts.append(compiled)
    join = filters.condition or FilterCondition.AND
    if join not in _JOINS:
        raise UnsupportedQuery(
            f"filters cannot be joined by {join!r}; {nearest(str(join), [one.value for one in _JOINS])}"
        )
    return Group(join, tuple(parts)) if parts else None


def matches(filters: MetadataFilters | None, metadata: Mapping[str, Any], *, ref_doc_id: str | None = None) -> bool:
    """Say whether metadata pass filters, as every search of this package understands them.

    The meaning is that of LlamaIndex's `SimpleVectorStore`, with nested filters: a key that is missing or None meets
    only ``!=``, ``nin`` and ``is_empty``; ``in`` asks for the value in a list; ``contains``, ``any`` and ``all`` look
    into a list, or for parts of a text; NOT means that none of its conditions holds. Strings are compared in NFC, so
    that a file name that macOS has decomposed is found by what the user types.

    Args:
        filters: None and filters without conditions let everything pass.
        metadata: A node's metadata.
        ref_doc_id: The id of its document, which the keys in `SOURCE_KEYS` mean where the metadata lack them.

    Raises:
        UnsupportedQuery: An unknown operator or way of joining.
        InvalidFilter: A value that does not fit its operator, or not the metadata.

    >>> year = MetadataFilter(key="연도", value=2020, operator=FilterOperator.GTE)
    >>> matches(MetadataFilters(filters=[year]), {"연도": 2024})
    True
    """
    condition = compile_filters(filters)
    return condition is None or matches_compiled(condition, metadata, ref_doc_id=ref_doc_id)


def matches_compiled(condition: Group, metadata: Mapping[str, Any], *, ref_doc_id: str | None = None) -> bool:
    """Match filters that are compiled already, as `matches` does."""
    return fold(condition, lambda one: one.holds(value_of(one.key, metadata, ref_doc_id)))


def value_of(key: str, metadata: Mapping[str, Any], ref_doc_id: str | None) -> object:
    """Find what a filter's key means in a node; None where it has no such key."""
    if key in SOURCE_KEYS and key not in metadata:
        return ref_doc_id
    return metadata.get(key)


def in_nfc(value: Any) -> Any:
    """Bring a text, or the texts in a list, to NFC; everything else stays as it is."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [in_nfc(item) for item in value]
    return value


def fold(condition: Condition | Group, truth_of: Callable[[Condition], Truth]) -> Truth:
    """Combine what the single conditions give: a bool each, or a numpy array each of one bool for each node."""
    if isinstance(condition, Condition):
        return truth_of(condition)
    joined: Truth = _JOINS[condition.join]([fold(part, truth_of) for part in condition.parts])
    return joined


def iter_conditions(condition: Condition | Group) -> Iterator[Condition]:
    """Yield every single condition of a tree."""
    if isinstance(condition, Condition):
        yield condition
    else:
        for part in condition.parts:
            yield from iter_conditions(part)


def _compile_condition(part: MetadataFilter) -> Condition:
    try:
        compared_by = FilterOperator(part.operator)
    except ValueError as error:
        known = nearest(str(part.operator), [one.value for one in FilterOperator])
        raise UnsupportedQuery(f"there is no filter operator {part.operator!r}; {known}") from error
    check_text(part.key, "the key of a filter")
    for text in part.value if isinstance(part.value, list) else [part.value]:
        if isinstance(text, str):
            check_text(text, f"the value of the filter {part.key!r}")
    wanted, fits = _VALUES[compared_by]
    if not fits(part.value):
        raise InvalidFilter(
            f"the filter {part.key!r} {compared_by.value} needs {wanted}, not {part.value!r:.80}"
            + ("; ask for missing values with the operator is_empty" if part.value is None else "")
        )
    return Condition(part.key, compared_by, in_nfc(part.value))


def _part_of_text(found: Any, value: str) -> bool:
    if not isinstance(found, str):
        raise TypeError
    return value in found


_HOLDS: dict[FilterOperator, Callable[[Any, Any], object]] = {
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
    FilterOperator.IN: lambda found, value: found in value,
    FilterOperator.NIN: lambda found, value: found not in value,
    FilterOperator.CONTAINS: operator.contains,
    FilterOperator.ANY: lambda found, value: any(item in found for item in value),
    FilterOperator.ALL: lambda found, value: all(item in found for item in value),
    FilterOperator.TEXT_MATCH: _part_of_text,
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda found, value: _part_of_text(_lower(found), value.lower()),
}


def _lower(found: Any) -> Any:
    return found.lower() if isinstance(found, str) else found


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_SCALAR = ("one text or number", _is_scalar)
_LIST = ("a list", _is_list)
_TEXT = ("a text", _is_text)
_VALUES: dict[FilterOperator, tuple[str, Callable[[object], bool]]] = {
    FilterOperator.EQ: ("a text, a number or a list", lambda value: value is not None),
    FilterOperator.NE: ("a text, a number or a list", lambda value: value is not None),
    **dict.fromkeys((FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE), _SCALAR),
    **dict.fromkeys((FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL), _LIST),
    **dict.fromkeys((FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE), _TEXT),
    FilterOperator.CONTAINS: _SCALAR,
    FilterOperator.IS_EMPTY: ("no value", lambda _: True),
}
_JOINS: dict[FilterCondition, Callable[[list[Any]], Any]] = {
    FilterCondition.AND: lambda truths: reduce(operator.and_, truths),
    FilterCondition.OR: lambda truths: reduce(operator.or_, truths),
    FilterCondition.NOT: lambda truths: reduce(operator.or_, truths) ^ True,
}
