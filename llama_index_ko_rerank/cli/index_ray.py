"""`ko-rerank index --engine ray`: into the shards of a collection, or into Qdrant."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING
from llama_index_ko_rerank.cli.console import output, progress
from llama_index_ko_rerank.cli.index_report import reading, refresh, show_plan, show_report
from llama_index_ko_rerank.errors import InvalidSetting

if TYPE_CHECKING:
    from llama_index_ko_rerank.ingest.sync import SyncReport

QDRANT_KEY = "KO_RERANK_QDRANT_API_KEY"


class OnRay:
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
        from llama_index_ko_rerank.scale.ray.plan import choose_shards

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
            show_plan(plan.whole)
            return
        collection.save_settings(collection.settings)
        with reading(plan.whole) as update:
            report = ingest_files(plan, embed_model=collection.embed_model, address=self._address, on_progress=update)
        refresh(collection)
        show_report(plan.whole, report, collection.folder)
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
        refresh(collection)
        _show_passages(report, collection.folder)


def index_into_qdrant(
    name: str, data: str, url: str, embed_model: str | None, *, overwrite: bool, address: str | None
) -> None:
    """Fill a collection at Qdrant with the passages of a data set."""
    from llama_index_ko_rerank.embed import KoreanEmbedding
    from llama_index_ko_rerank.extras import require_ray
    from llama_index_ko_rerank.scale import open_passages
    from llama_index_ko_rerank.scale.qdrant import ingest_passages_into_qdrant
    from llama_index_ko_rerank.scale.qdrant.connecting import check_url

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
