"""`ko-rerank index`: make a collection that can be searched, and keep it up to date."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.cli.console import configure, errors, output, progress, show_line
from llama_index_ko_rerank.cli.train import DATA
from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import Collection
    from llama_index_ko_rerank.ingest.documents import SkippedFile
    from llama_index_ko_rerank.ingest.sync import SyncPlan, SyncReport

QDRANT_KEY = "KO_RERANK_QDRANT_API_KEY"
_MAX_MB = 50
_LISTED = 20


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
        _index_into_qdrant(str(folder), data or "", qdrant, embed_model, overwrite=overwrite, address=address)
    elif engine is Engine.RAY:
        ray = _RayIndexing(folder, embed_model, rerank_model, overwrite=overwrite, address=address, shards=shards)
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
                _refresh(collection)
                output.print(f"{count} passages are in [bold]{folder}[/]")


def _index_files(collection: Collection, sources: list[Path], *, prune: bool, max_mb: int, dry_run: bool) -> None:
    with progress("Comparing") as compare:
        plan = collection.plan_files(sources, max_mb=max_mb, prune=prune, on_progress=compare)
    if dry_run:
        _show_plan(plan)
        return
    with _reading(plan) as update:
        report = collection.apply_plan(plan, on_progress=update)
    _refresh(collection)
    _show_report(plan, report, collection.folder)
    if report.failed and not (report.added or report.changed or report.unchanged):
        raise typer.Exit(1)


class _RayIndexing:
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
        from llama_index_ko_rerank.collection import Collection
        from llama_index_ko_rerank.extras import require_ray
        from llama_index_ko_rerank.scale.ray.ingestion import choose_shards

        require_ray()
        choose_shards(folder, shards)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        self._overwrite, self._address, self._shards = overwrite, address, shards
        self._collection = Collection.open_or_create(
            folder, embed_model=embed_model, rerank_model=rerank_model, overwrite=overwrite
        )

    def index_files(self, sources: list[Path], *, prune: bool, max_mb: int, dry_run: bool) -> None:
        """Bring the shards up to date with files."""
        from llama_index_ko_rerank.scale import ingest_files, plan_shards

        collection = self._collection
        with progress("Comparing") as compare:
            plan = plan_shards(
                collection.folder,
                sources,
                embed_model=collection.embed_model,
                shards=self._shards,
                max_mb=max_mb,
                prune=prune,
                reset=self._overwrite,
                on_progress=compare,
            )
        if dry_run:
            _show_plan(plan.whole)
            return
        collection.save_settings(collection.settings)
        with _reading(plan.whole) as update:
            report = ingest_files(plan, embed_model=collection.embed_model, address=self._address, on_progress=update)
        _refresh(collection)
        _show_report(plan.whole, report, collection.folder)
        if report.failed and not (report.added or report.changed or report.unchanged):
            raise typer.Exit(1)

    def index_dataset(self, data: str) -> None:
        """Fill the shards with the passages of a data set."""
        from llama_index_ko_rerank.scale import ingest_passages, open_passages

        collection, source = self._collection, open_passages(data)
        with progress("Indexing") as update:
            report = ingest_passages(
                collection.folder,
                source,
                embed_model=collection.embed_model,
                shards=self._shards,
                overwrite=self._overwrite,
                address=self._address,
                on_progress=lambda report: update(report.files_done, source.count),
            )
        collection.save_settings(collection.settings)
        _refresh(collection)
        _show_passages(report, collection.folder)


def _index_into_qdrant(
    name: str, data: str, url: str, embed_model: str | None, *, overwrite: bool, address: str | None
) -> None:
    """Fill a collection at Qdrant with the passages of a data set."""
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.extras import require_ray
    from llama_index_ko_rerank.scale import open_passages
    from llama_index_ko_rerank.scale.qdrant import ingest_passages_into_qdrant
    from llama_index_ko_rerank.scale.qdrant.client import check_url

    check_url(url)
    if "/" in name:
        raise InvalidSetting(f"a collection at Qdrant has a name without a slash, not {name!r}")
    require_ray()
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    source = open_passages(data)
    with progress("Indexing") as update:
        report = ingest_passages_into_qdrant(
            url,
            name,
            source,
            embed_model=KoreanEmbedding(embed_model or DEFAULT_EMBEDDING),
            api_key=os.environ.get(QDRANT_KEY),
            overwrite=overwrite,
            address=address,
            on_progress=update,
        )
    _show_passages(report, name)


def _show_passages(report: SyncReport, place: Path | str) -> None:
    added, unchanged = report.added + report.changed, report.unchanged
    output.print(f"added {added}, unchanged {unchanged}, without text {len(report.failed)}, in [bold]{place}[/]")


@contextmanager
def _reading(plan: SyncPlan) -> Iterator[Callable[[SyncReport], None]]:
    """Show how far a plan is, its rate and the time left, which counts by the bytes of the files."""
    columns = (TextColumn("Indexing"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=sum(planned.file.size for planned in plan.to_read))

        def update(report: SyncReport) -> None:
            rate = report.chunks / max(time.monotonic() - started, 0.001)
            done = f"{report.files_done:,}/{len(plan.to_read):,} files, {report.chunks:,} passages, {rate:,.0f}/s"
            bar.update(task, completed=report.bytes_done, description=done)

        yield update


def _refresh(collection: Collection) -> None:
    """Bring the lexical index up to date under a bar."""
    with progress("Tokenising") as update:
        collection.refresh(on_progress=update)


def _show_plan(plan: SyncPlan) -> None:
    """Say what would be done."""
    new = [str(planned.file.path) for planned in plan.to_read if planned.record is None]
    changed = [str(planned.file.path) for planned in plan.to_read if planned.record is not None]
    deleted = [os.path.normpath(plan.folder / document_id) for document_id in plan.deleted]
    show_line(f"{len(new)} to add, {len(changed)} to read again, {plan.unchanged} unchanged, {len(deleted)} to delete")
    for mark, paths in (("+", new), ("~", changed), ("-", deleted)):
        _list(f"{mark} {path}" for path in paths)
    _show_refused(plan.refused)
    _show_passed_over(plan)


def _show_report(plan: SyncPlan, report: SyncReport, folder: Path) -> None:
    """Say what was done."""
    show_line(
        f"added {report.added}, changed {report.changed}, unchanged {report.unchanged}, deleted {report.deleted}, "
        f"failed {len(report.failed)}: {report.chunks:,} passages in {report.seconds:.1f} s, in {folder}"
    )
    _show_refused(report.failed)
    _show_passed_over(plan)


def _show_refused(refused: Iterable[SkippedFile]) -> None:
    for refusal in sorted(refused, key=lambda refusal: refusal.path):
        path = str(refusal.path).encode("utf-8", "backslashreplace").decode("utf-8")
        show_line(f"! {path} {refusal.reason}")


def _show_passed_over(plan: SyncPlan) -> None:
    others = ", ".join(f"{count} {suffix}" for suffix, count in plan.unsupported_suffixes.most_common(_LISTED))
    parts = [
        f"{plan.hidden} hidden" if plan.hidden else "",
        f"{plan.internal_symlinks} links to files of the same folder" if plan.internal_symlinks else "",
        f"of other kinds {others}" if others else "",
    ]
    if any(parts):
        show_line("passed over: " + "; ".join(part for part in parts if part))


def _list(lines: Iterable[str]) -> None:
    every = list(lines)
    for line in every[:_LISTED]:
        show_line(line)
    if len(every) > _LISTED:
        show_line(f"  and {len(every) - _LISTED} more")
