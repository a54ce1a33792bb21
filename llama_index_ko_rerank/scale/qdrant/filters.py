"""LlamaIndex's metadata filters as Qdrant's, over the fields that `payloads.to_payload` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator
from qdrant_client import models

from llama_index_ko_rerank.errors import UnsupportedQuery
from llama_index_ko_rerank.scale.qdrant.points import DOCUMENT, FACTS, LOWER, NUMBERS, TEXTS, fact, point_id
from llama_index_ko_rerank.store.filters import Condition, Group

_NOTHING = models.HasIdCondition(has_id=[])


def restriction(
    condition: Group | None, *, node_ids: Sequence[str] | None = None, ref_doc_ids: Sequence[str] | None = None
) -> models.Filter | None:
    """Join filters, node ids and document ids, all of which must hold; None where nothing is restricted.

    The meaning is that of `store.filters.matches`, with one difference: where a value does not fit the metadata of a
    node, such as a text compared by "greater than 3", the node is not found, and no error says so.

    Args:
        condition: Compiled filters.
        node_ids: Only these nodes; no restriction where None or empty.
        ref_doc_ids: Only nodes of these documents, likewise.

    Raises:
        UnsupportedQuery: Texts are compared by size, or a key holds a double quote where Qdrant needs its path.
    """
    must: list[models.Condition] = []
    if node_ids:
        must.append(models.HasIdCondition(has_id=[point_id(node_id) for node_id in node_ids]))
    if ref_doc_ids:
        must.append(models.FieldCondition(key=DOCUMENT, match=models.MatchAny(any=list(ref_doc_ids))))
    if condition is not None:
        must.append(_translated(condition))
    return models.Filter(must=must) if must else None


def _translated(condition: Condition | Group) -> models.Filter:
    if isinstance(condition, Condition):
        return _OPERATORS[condition.operator](condition)
    parts: list[models.Condition] = [_translated(part) for part in condition.parts]
    if condition.join == FilterCondition.OR:
        return models.Filter(should=parts)
    return models.Filter(must_not=parts) if condition.join == FilterCondition.NOT else models.Filter(must=parts)


def _any_fact(*facts: str) -> models.FieldCondition:
    return models.FieldCondition(key=FACTS, match=models.MatchAny(any=list(facts)))


def _any_of(parts: Sequence[models.Condition]) -> models.Filter:
    return models.Filter(should=list(parts)) if parts else models.Filter(must=[_NOTHING])


def _path(field: str, key: str) -> str:
    if '"' in key:
        raise UnsupportedQuery(f"Qdrant has no path to the key {key!r}; filter by a key without double quotes")
    return f'{field}."{key}"'


def _equal(one: Condition) -> models.Filter:
    return models.Filter(must=[_any_fact(fact(one.key, one.value))])


def _different(one: Condition) -> models.Filter:
    return models.Filter(must_not=[_any_fact(fact(one.key, one.value))])


def _among(one: Condition) -> models.Filter:
    return _any_of([_any_fact(*(fact(one.key, value) for value in one.value))] if one.value else [])


def _not_among(one: Condition) -> models.Filter:
    return models.Filter(must_not=[_among(one)])


def _range(bound: str) -> Callable[[Condition], models.Filter]:
    def translate(one: Condition) -> models.Filter:
        if isinstance(one.value, str):
            raise UnsupportedQuery(
                f"Qdrant compares numbers by {one.operator.value!r} and not texts such as {one.value!r:.40}; index "
                f"{one.key!r} as a number, a date as 20240131, for example"
            )
        limits = models.Range.model_validate({bound: one.value})
        return models.Filter(must=[models.FieldCondition(key=_path(NUMBERS, one.key), range=limits)])

    return translate


def _part(field: str, key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=_path(field, key), match=models.MatchSubstring(substring=value))


def _holds(key: str, item: Any) -> models.Filter:
    """A list that holds the item, or a text of which it is a part."""
    in_list: models.Condition = _any_fact(fact(key, "holds", item))
    return models.Filter(should=[in_list, _part(TEXTS, key, item)] if isinstance(item, str) else [in_list])


def _contains(one: Condition) -> models.Filter:
    return _holds(one.key, one.value)


def _holds_any(one: Condition) -> models.Filter:
    return _any_of([_holds(one.key, item) for item in one.value])


def _holds_all(one: Condition) -> models.Filter:
    there: list[models.Condition] = [_any_fact(fact(one.key))]
    return models.Filter(must=there + [_holds(one.key, item) for item in one.value])


def _text_match(one: Condition) -> models.Filter:
    return models.Filter(must=[_part(TEXTS, one.key, one.value)])


def _text_match_insensitive(one: Condition) -> models.Filter:
    part = one.value.lower()
    return models.Filter(should=[_part(TEXTS, one.key, part), _part(LOWER, one.key, part)])


def _is_empty(one: Condition) -> models.Filter:
    missing = models.Filter(must_not=[_any_fact(fact(one.key))])
    return models.Filter(should=[_any_fact(fact(one.key, "empty", True)), missing])


_OPERATORS: dict[FilterOperator, Callable[[Condition], models.Filter]] = {
    FilterOperator.EQ: _equal,
    FilterOperator.NE: _different,
    FilterOperator.GT: _range("gt"),
    FilterOperator.GTE: _range("gte"),
    FilterOperator.LT: _range("lt"),
    FilterOperator.LTE: _range("lte"),
    FilterOperator.IN: _among,
    FilterOperator.NIN: _not_among,
    FilterOperator.CONTAINS: _contains,
    FilterOperator.ANY: _holds_any,
    FilterOperator.ALL: _holds_all,
    FilterOperator.TEXT_MATCH: _text_match,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _text_match_insensitive,
    FilterOperator.IS_EMPTY: _is_empty,
}
