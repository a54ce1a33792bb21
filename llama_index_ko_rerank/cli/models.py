"""`ko-rerank models`: the known models as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from llama_index_ko_rerank.catalog import find_model, list_models
from llama_index_ko_rerank.cli.screen import output
from llama_index_ko_rerank.errors import InvalidSetting, nearest


def models(
    name: Annotated[str | None, typer.Argument(help="One model, to see all that is known of it.")] = None,
) -> None:
    """Show the known Korean models, or all that is known of one."""
    if name is None:
        _list()
        return
    model = find_model(name)
    if model is None:
        known = nearest(name, [known.name for known in list_models()])
        raise InvalidSetting(f"no known model is called {name!r}; {known}")
    table = Table(show_header=False, box=None, pad_edge=False)
    for field in type(model).__dataclass_fields__:
        value = getattr(model, field)
        table.add_row(field.replace("_", " "), repr(value) if "prompt" in field else str(value))
    output.print(table)


def _list() -> None:
    table = Table("model", "kind", "tokens", "M parameters", "licence", "when to choose", pad_edge=False)
    for model in list_models():
        name = model.name if model.trained else f"{model.name} (to be trained)"
        row = (name, model.kind, str(model.max_tokens), str(model.parameters), model.licence, model.when_to_choose)
        table.add_row(*row)
    output.print(table)
