"""What `ko-rerank index` shows: a bar while it works, and in the end what it did and what it could not read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from llama_index_ko_rerank.cli.console import errors, output, progress

if TYPE_CHECKING:
    from llama_index_ko_rerank.collection import Collection
    from llama_index_ko_rerank.ingest.documents import SkippedFile
    from llama_index_ko_rerank.ingest.sync import SyncPlan, SyncReport

_LISTED = 20


@contextmanager
def reading(plan: SyncPlan) -> Iterator[Callable[[SyncReport], None]]:
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


def refresh(collection: Collection) -> None:
    """Bring the lexical index up to date under a bar."""
    with progress("Tokenising") as update:
        collection.refresh(on_progress=update)


def show_plan(plan: SyncPlan) -> None:
    """Say what would be done."""
    new = [str(planned.file.path) for planned in plan.to_read if planned.record is None]
    changed = [str(planned.file.path) for planned in plan.to_read if planned.record is not None]
    gone = [os.path.normpath(plan.folder / document_id) for document_id in plan.deleted]
    _line(f"{len(new)} to add, {len(changed)} to read again, {plan.unchanged} unchanged, {len(gone)} to delete")
    for mark, paths in (("+", new), ("~", changed), ("-", gone)):
        _list(f"{mark} {path}" for path in paths)
    _show_refused(plan.refused)
    _show_passed_over(plan)


def show_report(plan: SyncPlan, report: SyncReport, folder: Path) -> None:
    """Say what was done."""
    _line(
        f"added {report.added}, changed {report.changed}, unchanged {report.unchanged}, deleted {report.deleted}, "
        f"failed {len(report.failed)}: {report.chunks:,} passages in {report.seconds:.1f} s, in {folder}"
    )
    _show_refused(report.failed)
    _show_passed_over(plan)


def _show_refused(refused: Iterable[SkippedFile]) -> None:
    for refusal in sorted(refused, key=lambda refusal: refusal.path):
        path = str(refusal.path).encode("utf-8", "backslashreplace").decode("utf-8")
        _line(f"! {path} {refusal.reason}")


def _show_passed_over(plan: SyncPlan) -> None:
    others = ", ".join(f"{count} {suffix}" for suffix, count in plan.unsupported_suffixes.most_common(_LISTED))
    parts = [
        f"{plan.hidden} hidden" if plan.hidden else "",
        f"{plan.internal_symlinks} links to files of the same folder" if plan.internal_symlinks else "",
        f"of other kinds {others}" if others else "",
    ]
    if any(parts):
        _line("passed over: " + "; ".join(part for part in parts if part))


def _list(lines: Iterable[str]) -> None:
    every = list(lines)
    for line in every[:_LISTED]:
        _line(line)
    if len(every) > _LISTED:
        _line(f"  and {len(every) - _LISTED} more")


def _line(text: str) -> None:
    output.print(text, markup=False, highlight=False, soft_wrap=True)
