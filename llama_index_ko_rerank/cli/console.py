"""Consoles, progress bar and LLM options of the commands: results on standard output, all else on the error stream."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

output = Console()
errors = Console(stderr=True)
LlmUrl = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="URL",
        help="An OpenAI-compatible server that writes the answer, such as http://localhost:11434/v1; "
        "its key is read from KO_RERANK_LLM_API_KEY. Without it, answers are sentences copied from the sources.",
    ),
]
LlmModel = Annotated[
    str | None, typer.Option("--llm-model", metavar="NAME", help="The name of the model on that server.")
]


def configure() -> None:
    """Show the package's warnings, and keep the libraries' own chatter away."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    handler = RichHandler(console=errors, show_path=False, show_time=False)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[handler], force=True)
    logging.disable(logging.DEBUG)  # bm25s, for one, sets itself to DEBUG
    logging.getLogger("llama_index_ko_rerank").setLevel(logging.WARNING)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while something runs; what is yielded takes how much is done and how much there is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


def show_line(text: str) -> None:
    """Print one line as it is on standard output: no markup, no highlighting, no wrapping."""
    output.print(text, markup=False, highlight=False, soft_wrap=True)


def llm_of(url: str | None, model: str | None) -> LLM | None:
    """Return the LLM that the two options name, None where neither was given.

    Raises:
        InvalidSetting: Only one of the two was given, or one cannot be used.
        MissingExtra: ``llama-index-llms-openai-like`` is not installed.
    """
    if url is None and model is None:
        return None
    if url is None or model is None:
        missing, given = ("--llm URL", "--llm-model") if url is None else ("--llm-model NAME", "--llm")
        raise InvalidSetting(f"{given} was given without {missing}; an answer by an LLM needs both")
    from llama_index_ko_rerank.answer.llm import connect_llm

    return connect_llm(url, model)
