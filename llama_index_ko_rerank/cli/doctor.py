"""`ko-rerank doctor`: whether a collection is whole, and what of it would be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_index_ko_rerank.cli.console import configure, output
from llama_index_ko_rerank.errors import DamagedIndex, KoRerankError

if TYPE_CHECKING:
    from llama_index_ko_rerank.retrieve.incremental import LexicalIndexStatus
    from llama_index_ko_rerank.store.integrity import IntegrityReport

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
    from llama_index_ko_rerank.collection import index_folder, read_settings
    from llama_index_ko_rerank.store.integrity import check_integrity
    from llama_index_ko_rerank.store.sharded_layout import is_sharded

    settings = read_settings(folder)
    if is_sharded(folder):
        _look_at_shards(folder, settings.embed_model, mends=repair)
        return
    if repair:
        for deed in _repair(folder):
            _line(f"repair: {deed}")
    report = check_integrity(index_folder(folder))
    words, problems = _words(folder, report)
    problems += _model_problems(settings.embed_model, report.embedding_identity)
    for name, value in _facts(folder, settings.embed_model, report, words):
        _line(f"{name:<18}{value}")
    for problem in problems:
        _line(f"! {problem}")
    if problems:
        if not repair:
            _line(f"`ko-rerank doctor {folder} --repair` makes the snapshots again, and never changes the table")
        raise typer.Exit(1)
    _line("nothing is damaged")


def _look_at_shards(folder: Path, embed_model: str, *, mends: bool) -> None:
    """Do the same for each shard; the words of all are compared with them whenever the collection is opened."""
    from llama_index_ko_rerank.store.integrity import check_integrity, repair
    from llama_index_ko_rerank.store.sharded_layout import find_shards

    damaged = False
    for place in find_shards(folder).folders:
        for deed in repair(place) if mends else ():
            _line(f"{place.name}: repair: {deed}")
        report = check_integrity(place)
        problems = [*report.problems, *_model_problems(embed_model, report.embedding_identity)]
        _line(f"{place.name:<18}{report.node_count:,} passages, {report.vector_count:,} vectors")
        for problem in problems:
            _line(f"! {problem}")
        damaged = damaged or bool(problems)
    if damaged:
        raise typer.Exit(1)
    _line("nothing is damaged")


def _repair(folder: Path) -> Iterator[str]:
    from llama_index_ko_rerank.collection import index_folder, lexical_folder
    from llama_index_ko_rerank.retrieve.incremental import update_index
    from llama_index_ko_rerank.store import DurableFaissVectorStore
    from llama_index_ko_rerank.store.integrity import repair

    yield from repair(index_folder(folder))
    with DurableFaissVectorStore(index_folder(folder), create=False) as store:
        try:
            tokenised = update_index(store, lexical_folder(folder))
        except DamagedIndex:
            return  # the check that follows says what is damaged
        yield f"brought the lexical snapshot up to date; {tokenised:,} passages were tokenised"


def _words(folder: Path, report: IntegrityReport) -> tuple[LexicalIndexStatus | None, list[str]]:
    """Look at the lexical snapshot, and list what is damaged of it and of the index."""
    from llama_index_ko_rerank.collection import index_folder, lexical_folder
    from llama_index_ko_rerank.retrieve.incremental import inspect_index
    from llama_index_ko_rerank.store import DurableFaissVectorStore

    problems = list(report.problems)
    with DurableFaissVectorStore(index_folder(folder), create=False) as store:
        try:
            words = inspect_index(store, lexical_folder(folder))
        except DamagedIndex:
            return None, problems  # the report names the rows
    return words, problems + ([words.reason] if words.state == "damaged" else [])


def _model_problems(embed_model: str, recorded: Mapping[str, Any] | None) -> list[str]:
    """Say whether the model of the settings can be loaded, and whether it is the one that made the vectors."""
    from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
    from llama_index_ko_rerank.store.sqlite.manifest import check_model

    try:
        check_model(recorded, embedding_identity(KoreanEmbedding(embed_model)), "this collection")
    except KoRerankError as problem:
        return [str(problem)]
    return []


def _facts(
    folder: Path, embed_model: str, report: IntegrityReport, words: LexicalIndexStatus | None
) -> Iterator[tuple[str, str]]:
    from llama_index_ko_rerank.collection import lexical_folder

    identity = report.embedding_identity or {}
    fingerprint = str(identity.get("fingerprint") or "")[:12]
    yield "collection", str(folder)
    yield "embedding model", embed_model + (f" (fingerprint {fingerprint})" if fingerprint else "")
    yield "passages", f"{report.node_count:,}, generation {report.generation:,}"
    dimension = "no" if report.dimension is None else f"{report.dimension:,}-d"
    yield "vectors", f"{report.vector_count:,}, {dimension} {report.vector_dtype}, searched by {report.index_kind}"
    at = "" if report.snapshot_generation is None else f" (generation {report.snapshot_generation:,})"
    yield "vector snapshot", _VECTORS[report.snapshot_state] + at
    yield "lexical snapshot", "not compared: the table is damaged" if words is None else _lexical(words)
    sizes = {**report.bytes_by_file, **_sizes(lexical_folder(folder))}
    yield "on disk", f"{sum(sizes.values()) / 1e6:,.1f} MB"
    for name, size in sizes.items():
        yield "", f"{size / 1e6:>10,.1f} MB  {name}"


def _lexical(words: LexicalIndexStatus) -> str:
    if words.state == "current":
        return "current"
    again = f"the next opening tokenises {words.to_tokenise:,} passages and drops {words.to_drop:,}"
    return f"{words.state}: {again}" + (f" ({words.reason})" if words.state == "outdated" else "")


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{folder.name}/{path.relative_to(folder).as_posix()}": path.stat().st_size for path in files}


def _line(text: str) -> None:
    output.print(text, markup=False, highlight=False, soft_wrap=True)
