"""The command line: `ko-rerank`."""

from __future__ import annotations

import sys

import typer

from llama_index_ko_rerank.cli import (
    adapt,
    chat,
    demo,
    doctor,
    evaluate,
    fit,
    index,
    models,
    reproduce,
    search,
    serve,
    train,
)
from llama_index_ko_rerank.cli.console import errors
from llama_index_ko_rerank.errors import KoRerankError

app = typer.Typer(
    name="ko-rerank",
    help="Korean search for LlamaIndex: fit models to your data, index, search, rerank, and see what each step gains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("adapt")(adapt.adapt)
app.command("index")(index.index)
app.command("doctor")(doctor.doctor)
app.command("chat")(chat.chat)
app.command("search")(search.search)
app.command("explain")(search.explain)
app.command("fit")(fit.fit)
app.command("evaluate")(evaluate.evaluate)
app.command("serve")(serve.serve)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(models.models, name="models")


def main() -> None:
    """Run the command line; an error of ours is one line on the error stream and exit code 1."""
    try:
        app()
    except KoRerankError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        errors.print(str(error), markup=False, highlight=False)
        sys.exit(1)
