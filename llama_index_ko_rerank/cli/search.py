"""`ko-rerank search` and `ko-rerank explain`: passages that answer a question, and why they rank as they do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from llama_index_ko_rerank.cli.console import LlmModel, LlmUrl, configure, llm_of, output
from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

    from llama_index_ko_rerank.collection import Collection

_FEATURES = 6


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


def explain(
    folder: Annotated[Path, typer.Argument(help="The folder of a collection.")],
    question: Annotated[str, typer.Argument(help="What to look for.")],
    top_n: Annotated[int, typer.Option(help="How many passages to explain.")] = 3,
) -> None:
    """Show for the first results which words matched, each retriever's rank, and what each feature adds."""
    configure()
    from llama_index_ko_rerank.collection import Collection

    collection = Collection.open(folder)
    found = collection.retriever().retrieve(question)
    if not found:
        output.print("찾지 못했습니다: no passage shares a word with the question")
        return
    by_id = {result.node.node_id: result for result in found}
    for place, explanation in enumerate(collection.ranker(top_n=top_n).explain(question, found)[:top_n], start=1):
        result = by_id[explanation.node_id]
        title = result.node.metadata.get("title") or result.node.metadata.get("file_name") or result.node.node_id
        output.print(f"\n[bold]{place}. {title}[/]  {explanation.probability:.3f}", highlight=False)
        _show_words(collection, question, result)
        _show_ranks(result)
        table = Table("feature", "value", "adds", box=None, pad_edge=False, padding=(0, 2, 0, 2))
        for feature in explanation.features[:_FEATURES]:
            table.add_row(feature.name.replace("_", " "), f"{feature.value:.3f}", f"{feature.contribution:+.3f}")
        output.print(table)


def _show_words(collection: Collection, question: str, result: NodeWithScore) -> None:
    for view, (matched, missing) in (
        collection.lexical_retriever().lexical_index.matches(question, result.node.node_id).items()
    ):
        absent = f"  [dim]not: {' '.join(missing)}[/]" if missing else ""
        output.print(f"  {view}: {' '.join(matched) or 'none'}{absent}", highlight=False)


def _show_ranks(result: NodeWithScore) -> None:
    from llama_index_ko_rerank.types import sources_of

    ranks = [f"{leg} {hit.rank} ({hit.score:.3f})" for leg, hit in sources_of(result).items()]
    output.print(f"  ranks: {', '.join(ranks)}", highlight=False)
