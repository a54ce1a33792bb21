"""`ko-rerank doctor`: whether a collection is whole, and what of it would be made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_index_ko_rerank.cli.console import configure, show_line

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import Collection, CollectionReport
    from llama_index_ko_rerank.retrieve.incremental import LexicalIndexStatus

_VECTORS = {
    "current": "current",
    "stale": "stale: the next search brings it up to date from the table",
    "missing": "none: the next search reads the vectors from the table",
    "damaged": "damaged: it is not used, and the vectors are read from the table",
}


def doctor(
    folder: Annotated[Path, typer.Argument(help="The folder of a collection.")],
    repair: Annotated[bool, typer.Option(help="Make again what is made from the table: both snapshots.")] = False,
) -> None:
    """Read all of a collection and say what is damaged; the exit code is 1 where something is."""
    configure()
    from llama_index_ko_rerank.collection import Collection

    collection = Collection.open(folder)
    report = collection.doctor(repair=repair)
    for line in report.repairs:
        show_line(f"repair: {line}")
    if len(report.indexes) == 1 and "index" in report.indexes:
        for name, value in _facts(collection, report):
            show_line(f"{name:<18}{value}")
    else:
        for name, index in report.indexes.items():
            show_line(f"{name:<18}{index.node_count:,} passages, {index.vector_count:,} vectors")
    for problem in report.problems:
        show_line(f"! {problem}")
    if report.problems:
        if not repair:
            show_line(f"`ko-rerank doctor {folder} --repair` makes the snapshots again, and never changes the table")
        raise typer.Exit(1)
    show_line("nothing is damaged")


def _facts(collection: Collection, found: CollectionReport) -> Iterator[tuple[str, str]]:
    from llama_index_ko_rerank.collection import lexical_folder

    (report,) = found.indexes.values()
    identity = report.embedding_identity or {}
    fingerprint = str(identity.get("fingerprint") or "")[:12]
    yield "collection", str(collection.folder)
    yield (
        "embedding model",
        str(collection.settings.embed_model or identity.get("class_name"))
        + (f" (fingerprint {fingerprint})" if fingerprint else ""),
    )
    yield "passages", f"{report.node_count:,}, generation {report.generation:,}"
    dimension = "no" if report.dimension is None else f"{report.dimension:,}-d"
    yield "vectors", f"{report.vector_count:,}, {dimension} {report.vector_dtype}, searched by {report.index_kind}"
    at = "" if report.snapshot_generation is None else f" (generation {report.snapshot_generation:,})"
    yield "vector snapshot", _VECTORS[report.snapshot_state] + at
    yield "lexical snapshot", "not compared: the table is damaged" if found.lexical is None else _lexical(found.lexical)
    sizes = {**report.bytes_by_file, **_sizes(lexical_folder(collection.folder))}
    yield "on disk", f"{sum(sizes.values()) / 1e6:,.1f} MB"
    for name, size in sizes.items():
        yield "", f"{size / 1e6:>10,.1f} MB  {name}"


def _lexical(status: LexicalIndexStatus) -> str:
    if status.state == "current":
        return "current"
    again = f"the next opening tokenises {status.to_tokenise:,} passages and drops {status.to_drop:,}"
    return f"{status.state}: {again}" + (f" ({status.reason})" if status.state == "outdated" else "")


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{folder.name}/{path.relative_to(folder).as_posix()}": path.stat().st_size for path in files}
