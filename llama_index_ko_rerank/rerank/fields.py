"""Strict fields for LlamaIndex components, whose base classes ignore what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, ValidationError

from llama_index_ko_rerank.errors import InvalidSetting, nearest


def check_fields(
    component: type[BaseModel], settings: Mapping[str, Any], *, at_least_one: tuple[str, ...] = ()
) -> None:
    """Refuse settings that a component has no field for, or that are below 1 where they must not be.

    ``class_name`` passes: `to_dict` writes it and `from_dict` hands it back.

    Raises:
        InvalidSetting: The message names the nearest known field.
    """
    for name in settings:
        if name not in component.model_fields and name != "class_name":
            known = nearest(name, component.model_fields)
            raise InvalidSetting(f"{component.__name__} has no setting {name!r}; {known}")
    for name in at_least_one:
        value = settings.get(name, 1)
        if not isinstance(value, int) or value < 1:
            raise InvalidSetting(f"{name} must be a whole number of 1 or more, not {value!r}")


def invalid_field(problem: ValidationError) -> InvalidSetting:
    """Say a failed validation in one line."""
    first = problem.errors()[0]
    return InvalidSetting(f"{'.'.join(str(part) for part in first['loc'])}={first['input']!r}: {first['msg']}")
