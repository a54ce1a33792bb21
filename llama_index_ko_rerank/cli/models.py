"""`ko-rerank models`: the known models as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from llama_index_ko_rerank.catalog import find_model, list_models
from llama_index_ko_rerank.cli.console import output
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
    for kind in ("embedding", "rerank"):
        output.print(f"[bold underline]{kind} models[/]\n")
        for model in list_models(kind):
            length = f"{model.max_tokens} tokens" if model.max_tokens else "any length"
            facts = ["in the wheel"] * model.in_wheel + [f"{model.parameters} M parameters", length, model.licence]
            output.print(model.name, style="bold", highlight=False, soft_wrap=True)
            output.print(f"  {' · '.join(facts)}", style="dim", highlight=False, soft_wrap=True)
            output.print(f"  {model.when_to_choose}\n", highlight=False, markup=False)
