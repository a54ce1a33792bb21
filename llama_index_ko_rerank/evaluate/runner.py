"""Ask every question of every system and time each stage."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias, TypeVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from llama_index_ko_rerank.data.dataset import Question, RetrievalDataset
from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.evaluate.relevance import Answer, MetricAccumulator, RelevanceJudgments
from llama_index_ko_rerank.evaluate.report import EvaluationReport, installed_versions

Search: TypeAlias = Callable[[QueryBundle], Sequence[NodeWithScore]]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SearchSystem:
    """A retriever and what comes after it, measured as one.

    Attributes:
        retriever: A LlamaIndex retriever, or any function from a `QueryBundle` to scored nodes, best first.
        postprocessors: Run in this order on what the retriever returns, as a query engine does; timed as ``rerank``.
        embed_model: Where given, embeds the question first and puts the vector into the bundle, so that ``embed`` and
            ``search`` are timed apart; the retriever must then take the bundle's vector, as LlamaIndex's do. Defaults
            to none: whatever the retriever embeds is part of ``search``.

    Raises:
        InvalidSetting: The retriever is neither a retriever nor a function.
    """

    retriever: BaseRetriever | Search
    postprocessors: Sequence[BaseNodePostprocessor] = ()
    embed_model: BaseEmbedding | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.retriever, BaseRetriever) and not callable(self.retriever):
            raise InvalidSetting(
                f"a system needs a LlamaIndex retriever or a function from a QueryBundle to scored nodes; "
                f"found {type(self.retriever).__name__}"
            )


def evaluate_retrieval(
    systems: Mapping[str, SearchSystem | BaseRetriever | Search],
    dataset: RetrievalDataset,
    *,
    command: str = "",
    seed: int = 0,
    limit: int | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    warm_up: int = 3,
) -> EvaluationReport:
    """Ask every system every question and measure what comes back.

    A result is a hit where its text, NFC and without metadata, equals that of a relevant passage. Before measuring,
    results of equal score that stand next to each other are put into document order, that is, the order of
    `dataset.passages`, texts that are not in it last, so that a tie is never broken by the answer; results with no
    score stay as they came. A text that comes again counts once, and no results count as 0. Measures at 10 see the
    first 10 of what the whole system returns; ``candidate_recall`` alone looks at what the retriever found, at any
    depth.

    Systems take turns question by question, and each question starts with another system, so that a busy machine or
    a warm cache favours none. Every system gets a fresh `QueryBundle` for each question, since a bundle keeps the first
    model's vector. ``total`` is the sum of the stages; the evaluation's own work is not in it.

    Args:
        systems: By the name that the report calls them.
        dataset: The collection that the systems search, and the questions.
        command: The command that makes this report again, for the record.
        seed: Of the bootstrap intervals.
        limit: How many questions are used, the first ones. Defaults to all.
        on_progress: Called after each question of each system with the system's name, how many questions it has
            answered, and how many there are.
        warm_up: How many questions each system answers, untimed and unmeasured, before the first one counts.

    Raises:
        EmptyCorpus: The data set has no passages or no questions.
        BlankQuery: A question is blank.
        MalformedData: A question names no passage, or one that is not in the collection.
        InvalidSetting: There are no systems, a setting is out of range, or a system returns something else than
            scored nodes.
    """
    if limit is not None and limit < 1:
        raise InvalidSetting(f"limit={limit} was asked for; give at least 1, or None for all questions")
    if warm_up < 0:
        raise InvalidSetting(f"warm_up={warm_up} was asked for; give 0 or more")
    if not systems:
        raise InvalidSetting("there is nothing to evaluate; give at least one system")
    questions = dataset.questions[:limit]
    judgments = RelevanceJudgments(dataset, questions)
    ready = {name: each if isinstance(each, SearchSystem) else SearchSystem(each) for name, each in systems.items()}
    figures = {name: MetricAccumulator() for name in ready}
    for question in questions[:warm_up]:
        for name, system in ready.items():
            _ask(name, system, question)
    names = list(ready)
    for index, question in enumerate(questions):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            figures[name].add(judgments, index, _ask(name, ready[name], question))
            if on_progress is not None:
                on_progress(name, index + 1, len(questions))
    for name, accumulator in figures.items():
        accumulator.log_irregularities(name)
    return EvaluationReport(
        dataset=dataset.name,
        split=dataset.split,
        questions=len(questions),
        passages=len(dataset.passages),
        systems={name: accumulator.result() for name, accumulator in figures.items()},
        command=command,
        versions=installed_versions(),
        seed=seed,
    )


def _ask(name: str, system: SearchSystem, question: Question) -> Answer:
    try:
        return _run_stages(system, QueryBundle(question.text))
    except Exception as error:
        error.add_note(f"while system {name!r} answered question {question.id!r}")
        raise


def _run_stages(system: SearchSystem, query: QueryBundle) -> Answer:
    stage_ms: dict[str, float] = {}
    embed_model, retriever = system.embed_model, system.retriever
    if embed_model is not None:
        texts = query.embedding_strs
        query.embedding, stage_ms["embed"] = _timed(lambda: embed_model.get_agg_embedding_from_queries(texts))
    search = retriever.retrieve if isinstance(retriever, BaseRetriever) else retriever
    candidates, stage_ms["search"] = _timed(lambda: search(query))
    candidate_texts = _texts(candidates)
    results = list(candidates)
    if system.postprocessors:
        # Some rerankers write their scores into the nodes they get, which here may be shared with another system.
        copies = [candidate.model_copy() for candidate in candidates]
        results, stage_ms["rerank"] = _timed(lambda: _postprocess(system.postprocessors, copies, query))
    stage_ms["total"] = sum(stage_ms.values())
    return Answer(candidate_texts, _texts(results), [result.score for result in results], stage_ms)


def _postprocess(
    postprocessors: Iterable[BaseNodePostprocessor], nodes: list[NodeWithScore], query: QueryBundle
) -> list[NodeWithScore]:
    for postprocessor in postprocessors:
        nodes = postprocessor.postprocess_nodes(nodes, query_bundle=query)
    return nodes


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    started = perf_counter()
    result = work()
    return result, (perf_counter() - started) * 1000.0


def _texts(results: Sequence[NodeWithScore]) -> list[str]:
    if not isinstance(results, Sequence) or not all(isinstance(result, NodeWithScore) for result in results):
        raise InvalidSetting(f"a system must return a list of NodeWithScore; found {type(results).__name__}")
    return [
        unicodedata.normalize("NFC", result.node.get_content(metadata_mode=MetadataMode.NONE)) for result in results
    ]
