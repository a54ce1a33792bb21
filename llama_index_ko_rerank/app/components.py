"""A collection with every way of searching it ready, so that a switch takes effect at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import QueryBundle

from llama_index_ko_rerank.answer.synthesis import source_title
from llama_index_ko_rerank.collection import Collection, CollectionSettings
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, nearest
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import HybridRetriever
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex

Legs = Literal["hybrid", "lexical", "dense"]
RerankerKind = Literal["none", "ranker", "cross-encoder"]

CANDIDATES = 30
MOST_SOURCES = 10
_SHOWN_TITLES = 6


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a question is searched.

    Attributes:
        legs: By words and by meaning together, by words only, or by meaning only.
        reranker: What reorders the candidates.
        sources: How many passages the answer is made from, 1-10.

    Raises:
        InvalidSetting: A name is unknown or the number is out of range.
    """

    legs: Legs = "hybrid"
    reranker: RerankerKind = "ranker"
    sources: int = 5

    def __post_init__(self) -> None:
        if self.legs not in get_args(Legs):
            raise InvalidSetting(f"no search is called {self.legs!r}; {nearest(str(self.legs), get_args(Legs))}")
        if self.reranker not in get_args(RerankerKind):
            known = get_args(RerankerKind)
            raise InvalidSetting(f"no reranker is called {self.reranker!r}; {nearest(str(self.reranker), known)}")
        if isinstance(self.sources, bool) or not isinstance(self.sources, int):
            raise InvalidSetting(f"the number of sources is a whole number, not {self.sources!r}")
        if not 1 <= self.sources <= MOST_SOURCES:
            raise InvalidSetting(f"the number of sources must be 1 to {MOST_SOURCES}, not {self.sources}")


@dataclass(frozen=True, slots=True)
class SearchComponents:
    """What a question is asked of.

    Attributes:
        name: What the collection is called.
        passages: How many passages it had when it was opened.
        documents: How many documents they are from.
        titles: What some of its documents are called, as a hint at what may be asked.
        lexical: Its lexical search, whose index says which words matched.
        retrievers: By the switch that asks for them.
        rerankers: Likewise; each returns all candidates that it is given, so that ranks can be compared.
        usual: How the collection is searched where nobody says otherwise.
    """

    name: str
    passages: int
    documents: int
    titles: tuple[str, ...]
    lexical: KoreanBM25Retriever
    retrievers: Mapping[Legs, BaseRetriever]
    rerankers: Mapping[RerankerKind, BaseNodePostprocessor]
    usual: SearchOptions

    @property
    def lexical_index(self) -> LexicalIndex:
        """The words of the collection."""
        return self.lexical.lexical_index

    def check(self, switches: SearchOptions) -> None:
        """Refuse a switch that this collection has nothing for.

        Raises:
            InvalidSetting: The reranker was not opened.
        """
        if switches.reranker != "none" and switches.reranker not in self.rerankers:
            raise InvalidSetting(
                f"this collection was opened without {switches.reranker!r}; "
                f"it has {', '.join(['none', *self.rerankers])}"
            )


def open_components(folder: str | Path, *, candidates: int = CANDIDATES) -> SearchComponents:
    """Open a collection for the page, with the ranker and a cross-encoder.

    The ranker and the cross-encoder are the collection's own where it has them, otherwise those that ship.

    Args:
        folder: The collection's folder.
        candidates: How many passages are found before they are reordered.

    Raises:
        IndexNotFound: The folder is no collection.
        EmptyCorpus: Nothing is indexed in it yet.
        ModelMismatch: The index was built with another model than the settings name.
        ModelNotFound: The cross-encoder that the settings name is not there.
    """
    collection = Collection.open(folder)
    titles: dict[str, str] = {}
    for node in collection.store.nodes():
        titles.setdefault(node.ref_doc_id or node.node_id, source_title(node))
    if not titles:
        raise EmptyCorpus(f"{str(folder)!r} has no passages yet; index some with `ko-rerank index {folder} --source X`")
    lexical = collection.lexical_retriever(similarity_top_k=candidates)
    dense = collection.dense_retriever(similarity_top_k=candidates)
    return SearchComponents(
        name=collection.folder.resolve().name,
        passages=collection.count,
        documents=len(titles),
        titles=_spread(list(dict.fromkeys(titles.values())), _SHOWN_TITLES),
        lexical=lexical,
        retrievers={
            "hybrid": collection.retriever(similarity_top_k=candidates),
            "lexical": HybridRetriever({"lexical": lexical}, similarity_top_k=candidates),
            "dense": HybridRetriever({"dense": dense}, similarity_top_k=candidates),
        },
        rerankers={
            "ranker": collection.ranker(top_n=candidates, candidates=candidates),
            "cross-encoder": collection.cross_encoder(top_n=candidates),
        },
        usual=SearchOptions(reranker=_usual_reranker(collection.settings)),
    )


def warm_up(parts: SearchComponents) -> None:
    """Ask one question every way, so that the first person does not wait for what is loaded on first use."""
    question = QueryBundle(parts.titles[0])
    for retriever in parts.retrievers.values():
        found = retriever.retrieve(question)
    for reranker in parts.rerankers.values():
        reranker.postprocess_nodes(found, question)


def _spread(titles: list[str], most: int) -> tuple[str, ...]:
    """Take titles from the whole collection, not only from its first folder."""
    if len(titles) <= most:
        return tuple(titles)
    return tuple(titles[place * len(titles) // most] for place in range(most))


def _usual_reranker(settings: CollectionSettings) -> RerankerKind:
    if settings.rerank_model:
        return "cross-encoder"
    return "ranker" if settings.ranker else "none"
