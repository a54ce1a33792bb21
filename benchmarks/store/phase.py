"""One phase of the store's benchmark in a process of its own, so that its memory is its own.

    python -m benchmarks.store.phase PHASE SYSTEM CORPUS_FOLDER INDEX_FOLDER SIZE

It writes one line of JSON. Phases: ``build``, ``open`` (open, first question, all questions), ``race`` (both
systems open in one process, taking turns at every question; INDEX_FOLDER is then the folder above both), ``filter``,
``delete``.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores import FilterCondition, MetadataFilter, MetadataFilters

from benchmarks.store.corpus import Corpus
from benchmarks.store.systems import SYSTEMS, close
from llama_index_ko_rerank.store.settings import IndexSettings

TOP_K = 10
DELETED = 1000
WARM_UPS = 5
COSINE_TOLERANCE = 1e-4
"""How far two ways of adding up one cosine may be apart."""

Figures = dict[str, Any]


def main() -> None:
    """Run the phase that the command line names."""
    phase, system, corpus, folder, size = sys.argv[1:]
    figures = PHASES[phase](system, Corpus(Path(corpus)), Path(folder), int(size))
    print(json.dumps(figures, ensure_ascii=False))


def build(system: str, corpus: Corpus, folder: Path, size: int) -> Figures:
    """Build and write; making the nodes is not counted."""
    before = peak_mib()
    seconds_of_nodes = 0.0

    def batches() -> Any:
        nonlocal seconds_of_nodes
        source = corpus.batches(size)
        while True:
            start = time.perf_counter()
            nodes = next(source, None)
            seconds_of_nodes += time.perf_counter() - start
            if nodes is None:
                return
            yield nodes

    start = time.perf_counter()
    SYSTEMS[system].build(folder, batches(), corpus.model)
    seconds = time.perf_counter() - start - seconds_of_nodes
    return {"build_s": seconds, "build_peak_mib": peak_mib(), "imports_mib": before}


def open_and_ask(system: str, corpus: Corpus, folder: Path, size: int) -> Figures:
    """Open, ask the first question, then all."""
    before = peak_mib()
    index, open_ms = timed(lambda: SYSTEMS[system].open(folder, corpus.model))
    asked, first_ms = timed(lambda: ask(index, corpus.questions[0]))
    latencies = [timed(partial(ask, index, vector))[1] for vector in corpus.questions]
    figures = {
        "open_ms": open_ms,
        "first_query_ms": first_ms,
        **percentiles(latencies),
        "open_peak_mib": peak_mib(),
        "imports_mib": before,
        "found": len(asked),
    }
    figures["recall@10"] = recall(index, corpus, size)
    automatic = IndexSettings().kind_for(size, corpus.model.dimension)
    figures["kind"] = automatic if system == "durable" else "flat"
    close(index)
    return figures


def race(_: str, corpus: Corpus, folder: Path, size: int) -> Figures:
    """Ask both systems every question, taking turns at being first."""
    del size
    indexes = {system: SYSTEMS[system].open(folder / system, corpus.model) for system in SYSTEMS}
    latencies: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    for number, vector in enumerate([*corpus.questions[:WARM_UPS], *corpus.questions]):
        for system in list(indexes)[:: 1 if number % 2 else -1]:
            milliseconds = timed(partial(ask, indexes[system], vector))[1]
            if number >= WARM_UPS:
                latencies[system].append(milliseconds)
    return {system: percentiles(values) for system, values in latencies.items()}


def filtered(system: str, corpus: Corpus, folder: Path, size: int) -> Figures:
    """Ask with filters: one law among thousands, and one kind of law among few; or record why that is impossible."""
    index = SYSTEMS[system].open(folder, corpus.model)
    figures: Figures = {}
    for name, filters in {
        "one_law": [is_in("law", law) for law in corpus.laws(size, len(corpus.questions))],
        "one_kind": [is_in("kind", "법률")] * len(corpus.questions),
    }.items():
        try:
            ask(index, corpus.questions[0], filters[0])
        except (ValueError, NotImplementedError) as problem:
            return {"impossible": str(problem)}
        latencies = [
            timed(partial(ask, index, vector, only))[1] for vector, only in zip(corpus.questions, filters, strict=True)
        ]
        figures |= {f"{name}_{key}": value for key, value in percentiles(latencies).items()}
    close(index)
    return figures


def delete(system: str, corpus: Corpus, folder: Path, size: int) -> Figures:
    """Delete documents one by one, and as many nodes in one call; then ask, then close."""
    index = SYSTEMS[system].open(folder, corpus.model)
    ask(index, corpus.questions[0])
    count = min(DELETED, size // 4)
    try:
        index.delete_ref_doc("d0")
    except NotImplementedError as problem:
        return {"impossible": str(problem)}
    _, one_by_one_ms = timed(lambda: [index.delete_ref_doc(f"d{2 * number}") for number in range(1, count)])
    at_once = [f"s{2 * number + 1}" for number in range(count)]
    _, at_once_ms = timed(lambda: index.vector_store.delete_nodes(at_once))
    _, next_ms = timed(lambda: ask(index, corpus.questions[0]))
    _, close_ms = timed(lambda: close(index))
    return {
        "deleted": count,
        "delete_documents_ms": one_by_one_ms,
        "delete_nodes_in_one_call_ms": at_once_ms,
        "query_after_delete_ms": next_ms,
        "close_ms": close_ms,
    }


PHASES: dict[str, Callable[[str, Corpus, Path, int], Figures]] = {
    "build": build,
    "open": open_and_ask,
    "race": race,
    "filter": filtered,
    "delete": delete,
}


def ask(index: VectorStoreIndex, vector: Any, filters: MetadataFilters | None = None) -> list[Any]:
    """Search as an application does, with the question's vector at hand."""
    retriever = index.as_retriever(similarity_top_k=TOP_K, filters=filters)
    return retriever.retrieve(QueryBundle("질문", embedding=vector.tolist()))


def recall(index: VectorStoreIndex, corpus: Corpus, size: int) -> float:
    """Say which share of the results is as near as the tenth nearest node, by the vectors that were put in."""
    found_places = [[int(hit.node_id[1:]) for hit in ask(index, vector)] for vector in corpus.questions]
    exact = corpus.least_of_best(size, TOP_K)
    near = 0
    for vector, places, least in zip(corpus.questions, found_places, exact, strict=True):
        cosines = [float(corpus.vector_block(place, place + 1)[0] @ vector) for place in places]
        near += sum(cosine >= least - COSINE_TOLERANCE for cosine in cosines)
    return near / (len(corpus.questions) * min(TOP_K, size))


def is_in(key: str, value: str) -> MetadataFilters:
    """Filter by equality."""
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)], condition=FilterCondition.AND)


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Run an action and say how many milliseconds it took."""
    start = time.perf_counter()
    result = action()
    return result, (time.perf_counter() - start) * 1000


def percentiles(latencies: Sequence[float]) -> Figures:
    """Give the median and the 95th percentile."""
    return {"p50_ms": statistics.median(latencies), "p95_ms": statistics.quantiles(latencies, n=20)[-1]}


def peak_mib() -> float:
    """Say how much memory this process has had at most, in MiB.

    ``ru_maxrss`` counts what the parent had when it started this process; Linux's ``VmHWM`` does not.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
