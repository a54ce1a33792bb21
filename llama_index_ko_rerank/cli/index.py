"""`ko-rerank index`: make a collection that can be searched, and keep it up to date."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.cli.collection_settings import changed_settings, load_embedding
from llama_index_ko_rerank.cli.console import configure, output, progress
from llama_index_ko_rerank.cli.index_ray import QDRANT_KEY, OnRay, index_into_qdrant
from llama_index_ko_rerank.cli.index_report import reading, show_plan, show_report
from llama_index_ko_rerank.cli.train import DATA
from llama_index_ko_rerank.errors import InvalidSetting

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
    """Index files or a data set into FOLDER, for `ko-rerank search` and `open_collection`.

    Files that are indexed already and have not changed cost nothing; documents whose files are gone are taken out. The
    exit code is 1 where not a single file could be read; files that could not are listed with the reasons.
    """
    configure()
    from llama_index_ko_rerank.store.sharded_layout import is_sharded

    if bool(source) == bool(data):
        raise InvalidSetting("name what to index: either --source with files or folders, or --data with a data set")
    if engine is Engine.LOCAL and (address or shards is not None or qdrant):
        raise InvalidSetting("--address, --shards and --qdrant go with --engine ray")
    if qdrant and (source or shards is not None or rerank_model):
        raise InvalidSetting("--qdrant goes with --data, and without --shards and --rerank-model")
    if data and (dry_run or prune):
        raise InvalidSetting("--dry-run and --prune go with --source; a data set is indexed as a whole")
    if engine is Engine.LOCAL and is_sharded(folder):
        raise InvalidSetting(f"the collection in {folder} has shards; add --engine ray, or name another folder")
    if qdrant:
        index_into_qdrant(str(folder), data or "", qdrant, embed_model, overwrite=overwrite, address=address)
    elif engine is Engine.RAY:
        ray = OnRay(folder, embed_model, rerank_model, overwrite=overwrite, address=address, shards=shards)
        if source:
            ray.index_files(source, prune=prune, max_mb=max_mb, dry_run=dry_run)
        else:
            ray.index_dataset(data or "")
    elif source:
        _index_files(
            folder,
            source,
            embed_model=embed_model,
            rerank_model=rerank_model,
            overwrite=overwrite,
            prune=prune,
            max_mb=max_mb,
            dry_run=dry_run,
        )
    else:
        _index_dataset(folder, data or "", embed_model=embed_model, rerank_model=rerank_model, overwrite=overwrite)


def _index_files(
    folder: Path,
    sources: list[Path],
    *,
    embed_model: str | None,
    rerank_model: str | None,
    overwrite: bool,
    prune: bool,
    max_mb: int,
    dry_run: bool,
) -> None:
    from llama_index_ko_rerank.collection import index_folder, write_settings
    from llama_index_ko_rerank.ingest.plan import check_sources, plan_sync
    from llama_index_ko_rerank.ingest.sync import create_empty_index, run_sync

    check_sources(sources, prune=prune)
    settings = changed_settings(folder, embed_model, rerank_model, overwrite=overwrite)
    model = load_embedding(settings.embed_model)
    place = index_folder(folder)
    with progress("Comparing") as compare:
        plan = plan_sync(
            place,
            sources,
            embed_model=model,
            leave_out=folder,
            max_mb=max_mb,
            prune=prune,
            reset=overwrite,
            on_progress=compare,
        )
    if dry_run:
        show_plan(plan)
        return
    if not plan.exists:
        create_empty_index(place, embed_model=model, overwrite=overwrite)
    write_settings(folder, settings)
    with reading(plan) as update:
        report = run_sync(plan, embed_model=model, on_progress=update)
    _bring_words_up_to_date(folder)
    show_report(plan, report, folder)
    if report.failed and not (report.added or report.changed or report.unchanged):
        raise typer.Exit(1)


def _index_dataset(
    folder: Path, data: str, *, embed_model: str | None, rerank_model: str | None, overwrite: bool
) -> None:
    from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset
    from llama_index_ko_rerank.store import DurableFaissVectorStore, build_index

    embed_model = embed_model or DEFAULT_EMBEDDING
    nodes = dataset_nodes(load_dataset(data))
    place = index_folder(folder)
    build_index(
        nodes, place, embed_model=load_embedding(embed_model), overwrite=overwrite, show_progress=output.is_terminal
    )
    write_settings(folder, CollectionSettings(embed_model, rerank_model))
    _bring_words_up_to_date(folder)
    with DurableFaissVectorStore(place, create=False) as store:
        output.print(f"{store.count} passages of {len(nodes)} documents are in [bold]{folder}[/]")


def _bring_words_up_to_date(folder: Path) -> None:
    from llama_index_ko_rerank.collection import index_folder, lexical_folder
    from llama_index_ko_rerank.retrieve.incremental import update_index
    from llama_index_ko_rerank.store import DurableFaissVectorStore

    with DurableFaissVectorStore(index_folder(folder), create=False) as store, progress("Reading words") as update:
        update_index(store, lexical_folder(folder), on_progress=update)
