"""`ko-rerank search`: ask a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from llama_index_ko_rerank.cli.console import configure, output
from llama_index_ko_rerank.cli.llm_option import LlmModel, LlmUrl, llm_of
from llama_index_ko_rerank.errors import InvalidSetting


def search(
    folder: Annotated[Path, typer.Argument(help="The folder of a collection.")],
    question: Annotated[str, typer.Argument(help="What to look for.")],
    top_n: Annotated[int, typer.Option(help="How many passages to show.")] = 5,
    rerank: Annotated[bool, typer.Option(help="Reorder by the collection's cross-encoder, where it has one.")] = True,
    answer: Annotated[
        bool, typer.Option(help="Also show an answer: the best sentences, or what an LLM writes.")
    ] = True,
    llm: LlmUrl = None,
    llm_model: LlmModel = None,
) -> None:
    """Find the passages that answer a question, and answer it."""
    configure()
    from llama_index.core.schema import MetadataMode

    from llama_index_ko_rerank.collection import Collection

    writer = llm_of(llm, llm_model)
    if writer and not answer:
        raise InvalidSetting("--llm writes an answer, and --no-answer asks for none; leave one of them away")
    with Collection.open(folder) as collection:
        response = collection.query_engine(llm=writer, rerank=rerank, top_n=top_n).query(question)
    if answer:
        output.print(str(response), markup=False, highlight=False)
        output.print()
    table = Table("", "score", "passage", pad_edge=False, box=None)
    for number, found in enumerate(response.source_nodes, start=1):
        text = " ".join(found.node.get_content(metadata_mode=MetadataMode.NONE).split())
        title = found.node.metadata.get("title") or found.node.metadata.get("file_name") or ""
        shown = text if len(text) <= 160 else text[:159] + "…"
        table.add_row(f"[{number}]", f"{found.score or 0:.3f}", f"[bold]{escape(title)}[/]\n{escape(shown)}")
    output.print(table)
