"""`ko-rerank index`: make a collection that can be searched, and keep it up to date."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.cli.console import configure, output, progress
from llama_index_ko_rerank.cli.index_ray import QDRANT_KEY, OnRay, index_into_qdrant
from llama_index_ko_rerank.cli.index_report import reading, refresh, show_plan, show_report
from llama_index_ko_rerank.cli.train import DATA
from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import Collection

_MAX_MB = 50


class Engine(StrEnum):
    """What the work runs on."""

    LOCAL = "local"
    RAY = "ray"


def index(
    folder: Annotated[Path, typer.Argument(help="The folder of the collection; with --qdrant its name there.")],
    embed_model: Annotated[
        str | None,
        typer.Option(
            help="A catalog name, a hub name, or a model's folder; by default that of the collection, or ko-static."
        ),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(help="Files (txt, md, html, pdf, docx, hwpx), or folders of them; only changes are indexed."),
    ] = None,
    data: Annotated[str | None, typer.Option(help=f"The passages of a data set: {DATA}.")] = None,
    rerank_model: Annotated[str | None, typer.Option(help="A cross-encoder to reorder what is found.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a collection that is there.")] = False,
    prune: Annotated[
        bool, typer.Option(help="Where a source is missing or empty, take out what was indexed of it.")
    ] = False,
    max_mb: Annotated[int, typer.Option(help="The largest file that is read, in MB.", min=1)] = _MAX_MB,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be done.")] = False,
    engine: Annotated[
        Engine, typer.Option(help="local: this process; ray: workers that fill shards, on one machine or many.")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="ray: a running cluster, auto or HOST:PORT; by default one of this machine.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(help="ray: in how many parts a new collection is kept; by default 2.")
    ] = None,
    qdrant: Annotated[
        str | None,
        typer.Option(
            help=f"ray: the URL of a Qdrant server that gets --data instead of a folder; its key is ${QDRANT_KEY}."
        ),
    ] = None,
) -> None:
    """Index files or a data set into FOLDER, for `ko-rerank search` and `Collection.open`.

    Files that are indexed already and have not changed cost nothing; documents whose files are gone are taken out. The
    exit code is 1 where not a single file could be read; files that could not are listed with the reasons.
    """
    configure()
    from llama_index_ko_rerank.collection import Collection

    if bool(source) == bool(data):
        raise InvalidSetting("name what to index: either --source with files or folders, or --data with a data set")
    if engine is Engine.LOCAL and (address or shards is not None or qdrant):
        raise InvalidSetting("--address, --shards and --qdrant go with --engine ray")
    if qdrant and (source or shards is not None or rerank_model):
        raise InvalidSetting("--qdrant goes with --data, and without --shards and --rerank-model")
    if data and (dry_run or prune):
        raise InvalidSetting("--dry-run and --prune go with --source; a data set is indexed as a whole")
    if qdrant:
        index_into_qdrant(str(folder), data or "", qdrant, embed_model, overwrite=overwrite, address=address)
    elif engine is Engine.RAY:
        ray = OnRay(folder, embed_model, rerank_model, overwrite=overwrite, address=address, shards=shards)
        if source:
            ray.index_files(source, prune=prune, max_mb=max_mb, dry_run=dry_run)
        else:
            ray.index_dataset(data or "")
    else:
        collection = Collection.open_or_create(
            folder, embed_model=embed_model, rerank_model=rerank_model, overwrite=overwrite
        )
        with collection:
            if source:
                _index_files(collection, source, prune=prune, max_mb=max_mb, dry_run=dry_run)
            else:
                count = collection.index_dataset(data or "", show_progress=output.is_terminal)
                refresh(collection)
                output.print(f"{count} passages are in [bold]{folder}[/]")


def _index_files(collection: Collection, sources: list[Path], *, prune: bool, max_mb: int, dry_run: bool) -> None:
    with progress("Comparing") as compare:
        plan = collection.plan_files(sources, max_mb=max_mb, prune=prune, on_progress=compare)
    if dry_run:
        show_plan(plan)
        return
    with reading(plan) as update:
        report = collection.apply_plan(plan, on_progress=update)
    refresh(collection)
    show_report(plan, report, collection.folder)
    if report.failed and not (report.added or report.changed or report.unchanged):
        raise typer.Exit(1)
