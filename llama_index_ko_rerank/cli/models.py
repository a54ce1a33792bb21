"""`ko-rerank models`: the known models as a table, and the pretrained one as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from llama_index_ko_rerank.catalog import PRETRAINED, find_model, list_models
from llama_index_ko_rerank.cli.console import output
from llama_index_ko_rerank.errors import InvalidSetting, nearest


class _ShowByDefault(TyperGroup):
    """Commands of which ``show`` is meant where none is named: `ko-rerank models NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


models = typer.Typer(cls=_ShowByDefault, help="Show the known Korean models, or export the pretrained one.")


@models.callback(invoke_without_command=True)
def list_known(context: typer.Context) -> None:
    """Show the known Korean models, or export the pretrained one."""
    if context.invoked_subcommand is not None:
        return
    for kind in ("embedding", "rerank"):
        output.print(f"[bold underline]{kind} models[/]\n")
        for model in list_models(kind):
            length = f"{model.max_tokens} tokens" if model.max_tokens else "any length"
            facts = ["in the wheel"] * model.in_wheel + [f"{model.parameters} M parameters", length, model.licence]
            output.print(model.name, style="bold", highlight=False, soft_wrap=True)
            output.print(f"  {' · '.join(facts)}", style="dim", highlight=False, soft_wrap=True)
            output.print(f"  {model.when_to_choose}\n", highlight=False, markup=False)


@models.command("show")
def show(name: Annotated[str, typer.Argument(help="A model of the list, by its name or a short one.")]) -> None:
    """Show all that is known of one model."""
    model = find_model(name)
    if model is None:
        known = nearest(name, [known.name for known in list_models()])
        raise InvalidSetting(f"no known model is called {name!r}; {known}")
    table = Table(show_header=False, box=None, pad_edge=False)
    for field in type(model).__dataclass_fields__:
        value = getattr(model, field)
        table.add_row(field.replace("_", " "), repr(value) if "prompt" in field else str(value))
    output.print(table)


@models.command("export")
def export(
    name: Annotated[str, typer.Argument(help=f"The model; only {PRETRAINED} needs it, others are folders already.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
) -> None:
    """Write the pretrained model as a plain folder that sentence-transformers and transformers load."""
    if name != PRETRAINED:
        raise InvalidSetting(f"{name!r} is not packed in another distribution; {nearest(name, [PRETRAINED])}")
    from llama_index_ko_rerank.models.pretrained import export_pretrained

    export_pretrained(folder)
    output.print(f"{name} → {folder}", highlight=False, soft_wrap=True)
