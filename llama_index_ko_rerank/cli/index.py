"""`ko-rerank index`: make a collection that can be searched, and keep it up to date."""

from __future__ import annotations

import logging
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.cli.index_report import reading, show_plan, show_report
from llama_index_ko_rerank.cli.screen import configure, output, progress
from llama_index_ko_rerank.cli.train import DATA
from llama_index_ko_rerank.errors import IndexNotFound, InvalidSetting

if TYPE_CHECKING:
    from llama_index_ko_rerank.answer.collection import CollectionSettings
    from llama_index_ko_rerank.embed import KoreanEmbedding

_MAX_MB = 50


class Engine(StrEnum):
    """What the work runs on."""

    LOCAL = "local"
    RAY = "ray"


def index(
    folder: Annotated[Path, typer.Argument(help="The folder of the collection.")],
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
) -> None:
    """Index files or a data set into FOLDER, for `ko-rerank search` and `open_collection`.

    Files that are indexed already and have not changed cost nothing; documents whose files are gone are taken out. The
    exit code is 1 where not a single file could be read; files that could not are listed with the reasons.
    """
    configure()
    if bool(source) == bool(data):
        raise InvalidSetting("name what to index: either --source with files or folders, or --data with a data set")
    if engine is Engine.LOCAL and (address or shards is not None):
        raise InvalidSetting("--address and --shards go with --engine ray")
    if data and (dry_run or prune):
        raise InvalidSetting("--dry-run and --prune go with --source; a data set is indexed as a whole")
    if engine is Engine.RAY:
        ray = _OnRay(folder, embed_model, rerank_model, overwrite=overwrite, address=address, shards=shards)
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
    from llama_index_ko_rerank.answer.collection import index_folder, write_settings
    from llama_index_ko_rerank.store.sync import run_sync, start_index
    from llama_index_ko_rerank.store.sync_plan import check_sources, plan_sync

    check_sources(sources, prune=prune)
    settings = _settings(folder, embed_model, rerank_model, overwrite=overwrite)
    model = _load(settings.embed_model)
    place = index_folder(folder)
    with progress("Comparing") as compare:
        plan = plan_sync(
            place,
            sources,
            embed_model=model,
            leave_out=folder,
            max_mb=max_mb,
            prune=prune,
            start_over=overwrite,
            on_progress=compare,
        )
    if dry_run:
        show_plan(plan)
        return
    if not plan.exists:
        start_index(place, embed_model=model, overwrite=overwrite)
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
    from llama_index_ko_rerank.answer.collection import CollectionSettings, index_folder, write_settings
    from llama_index_ko_rerank.data import dataset_nodes, load_dataset
    from llama_index_ko_rerank.store import DurableFaissVectorStore, build_index

    embed_model = embed_model or DEFAULT_EMBEDDING
    nodes = dataset_nodes(load_dataset(data))
    place = index_folder(folder)
    build_index(nodes, place, embed_model=_load(embed_model), overwrite=overwrite, show_progress=output.is_terminal)
    write_settings(folder, CollectionSettings(embed_model, rerank_model))
    _bring_words_up_to_date(folder)
    with DurableFaissVectorStore(place, create=False) as store:
        output.print(f"{store.count} passages of {len(nodes)} documents are in [bold]{folder}[/]")


class _OnRay:
    """Indexing on Ray into the shards of a collection."""

    def __init__(
        self,
        folder: Path,
        embed_model: str | None,
        rerank_model: str | None,
        *,
        overwrite: bool,
        address: str | None,
        shards: int | None,
    ) -> None:
        from llama_index_ko_rerank.scale.ray_extra import import_ray
        from llama_index_ko_rerank.scale.sharded_layout import choose_shards

        import_ray()
        choose_shards(folder, shards)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        self._folder, self._overwrite, self._address, self._shards = folder, overwrite, address, shards
        self._settings = _settings(folder, embed_model, rerank_model, overwrite=overwrite)
        name = self._settings.embed_model
        # Workers have another working folder.
        self._model = _load(str(Path(name).absolute()) if Path(name).is_dir() else name)

    def index_files(self, sources: list[Path], *, prune: bool, max_mb: int, dry_run: bool) -> None:
        from llama_index_ko_rerank.answer.collection import write_settings
        from llama_index_ko_rerank.scale import ingest_files, plan_shards

        with progress("Comparing") as compare:
            plan = plan_shards(
                self._folder,
                sources,
                embed_model=self._model,
                shards=self._shards,
                max_mb=max_mb,
                prune=prune,
                start_over=self._overwrite,
                on_progress=compare,
            )
        if dry_run:
            show_plan(plan.whole)
            return
        write_settings(self._folder, self._settings)
        with reading(plan.whole) as update:
            report = ingest_files(plan, embed_model=self._model, address=self._address, on_progress=update)
        self._bring_words_up_to_date()
        show_report(plan.whole, report, self._folder)
        if report.failed and not (report.added or report.changed or report.unchanged):
            raise typer.Exit(1)

    def index_dataset(self, data: str) -> None:
        from llama_index_ko_rerank.answer.collection import write_settings
        from llama_index_ko_rerank.scale import ingest_passages, open_passages

        source = open_passages(data)
        with progress("Indexing") as update:
            report = ingest_passages(
                self._folder,
                source,
                embed_model=self._model,
                shards=self._shards,
                overwrite=self._overwrite,
                address=self._address,
                on_progress=lambda report: update(report.files_done, source.count),
            )
        write_settings(self._folder, self._settings)
        self._bring_words_up_to_date()
        added, unchanged = report.added + report.changed, report.unchanged
        output.print(
            f"added {added}, unchanged {unchanged}, without text {len(report.failed)}, in [bold]{self._folder}[/]"
        )

    def _bring_words_up_to_date(self) -> None:
        from llama_index_ko_rerank.answer.collection import lexical_folder
        from llama_index_ko_rerank.scale import ShardedVectorStore, refresh_sharded_words

        with ShardedVectorStore(self._folder) as store, progress("Reading words") as update:
            refresh_sharded_words(store, lexical_folder(self._folder), on_progress=update)


def _settings(
    folder: Path, embed_model: str | None, rerank_model: str | None, *, overwrite: bool
) -> CollectionSettings:
    """Keep what a collection knows, as its fitted weights, and change what was named."""
    from llama_index_ko_rerank.answer.collection import CollectionSettings, read_settings

    try:
        known = read_settings(folder)
    except IndexNotFound:
        return CollectionSettings(embed_model or DEFAULT_EMBEDDING, rerank_model)
    if overwrite:
        return CollectionSettings(embed_model or known.embed_model, rerank_model)
    is_same = rerank_model in (None, known.rerank_model)
    return replace(
        known,
        embed_model=embed_model or known.embed_model,
        rerank_model=rerank_model or known.rerank_model,
        blend=known.blend if is_same else 0.0,  # it was fitted for the other cross-encoder
    )


def _load(embed_model: str) -> KoreanEmbedding:
    from llama_index_ko_rerank.embed import KoreanEmbedding

    return KoreanEmbedding(embed_model)


def _bring_words_up_to_date(folder: Path) -> None:
    from llama_index_ko_rerank.answer.collection import index_folder, lexical_folder
    from llama_index_ko_rerank.retrieve.following import refresh_snapshot
    from llama_index_ko_rerank.store import DurableFaissVectorStore

    with DurableFaissVectorStore(index_folder(folder), create=False) as store, progress("Reading words") as update:
        refresh_snapshot(store, lexical_folder(folder), on_progress=update)
