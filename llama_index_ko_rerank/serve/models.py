"""The models that the service serves, loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING, DEFAULT_RERANKER, find_model
from llama_index_ko_rerank.collection import Collection
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.limits import ConcurrencyLimiter
from llama_index_ko_rerank.rerank.cross_encoder.scorer import CrossEncoderScorer, ScorerSettings, load_scorer
from llama_index_ko_rerank.serve.errors import refusal
from llama_index_ko_rerank.serve.metrics import Metrics
from llama_index_ko_rerank.serve.settings import ServerSettings

SEARCH_CANDIDATES = 30
"""How many passages a search finds and reorders, and so the most that it can return."""

_FIRST_QUESTION = "첫 질문"
"""Asked once before any client is, since the first search loads the morphological analyser."""


@dataclass(frozen=True, slots=True)
class SearchedCollection:
    """Retriever and reranker of the served collection; None for no reranker."""

    retriever: BaseRetriever
    reranker: BaseNodePostprocessor | None


@dataclass(frozen=True, slots=True)
class Models:
    """What is loaded.

    Attributes:
        scorer: The cross-encoder.
        rerank_name: What clients call it.
        embedding: The embedding.
        embed_name: What clients call it.
        collection: What is searched, where there is one.
    """

    scorer: CrossEncoderScorer
    rerank_name: str
    embedding: KoreanEmbedding
    embed_name: str
    collection: SearchedCollection | None


def load_models(settings: ServerSettings) -> Models:
    """Load what the settings name.

    Raises:
        IndexNotFound: The folder is no collection.
        ModelNotFound: There is no such model within reach.
        UnsuitableModel: A model cannot do what it is named for.
        ModelMismatch: The collection was built with another model than it remembers.
    """
    rerank, embed = settings.rerank_model, settings.embed_model
    collection: SearchedCollection | None = None
    embedding: KoreanEmbedding | None = None
    if settings.collection is not None:
        opened = Collection.open(settings.collection)
        rerank = rerank or opened.settings.rerank_model
        collection = SearchedCollection(
            opened.retriever(similarity_top_k=SEARCH_CANDIDATES), opened.reranker(top_n=SEARCH_CANDIDATES)
        )
        collection.retriever.retrieve(_FIRST_QUESTION)
        if embed in (None, opened.settings.embed_model) and isinstance(opened.embed_model, KoreanEmbedding):
            embedding = opened.embed_model
    rerank, embedding = rerank or DEFAULT_RERANKER, embedding or KoreanEmbedding(embed or DEFAULT_EMBEDDING)
    return Models(
        scorer=load_scorer(ScorerSettings(rerank, dtype=settings.dtype, cascade=settings.cascade)),
        rerank_name=public_name(rerank),
        embedding=embedding,
        embed_name=public_name(embedding.model_name),
        collection=collection,
    )


def public_name(model: str) -> str:
    """Return what clients call a model: of a folder the last part only, so that no path is told.

    >>> public_name("kure"), public_name("somebody/else")
    ('nlpai-lab/KURE-v1', 'somebody/else')
    """
    known = find_model(model)
    if Path(model).is_dir():
        return Path(model).resolve().name
    return known.name if known else model


def is_called(asked: str, name: str) -> bool:
    """Return whether a client's name of a model is that of a served one, short names of the catalog included.

    >>> is_called("KURE", "nlpai-lab/KURE-v1"), is_called("kure", "bge-m3")
    (True, False)
    """
    known = find_model(asked)
    return asked == name or (known is not None and known.name == name)


@dataclass(frozen=True, slots=True)
class Service:
    """One running service."""

    settings: ServerSettings
    models: Models
    limiter: ConcurrencyLimiter
    metrics: Metrics

    def check_texts(self, field: str, texts: Sequence[str]) -> None:
        """Refuse too many texts, or one that is too long.

        Raises:
            HTTPException: 413 for their number, 422 for a length.
        """
        most = self.settings.max_texts
        if len(texts) > most:
            raise refusal(413, f"{field} has {len(texts)} texts; a request may have {most}")
        longest = self.settings.max_text_characters
        for place, text in enumerate(texts):
            if len(text) > longest:
                raise refusal(422, f"{field}[{place}] has {len(text):,} characters; a text may have {longest:,}")

    def check_query(self, query: str) -> None:
        """Refuse a question that is too long.

        Raises:
            HTTPException: 422.
        """
        longest = self.settings.max_text_characters
        if len(query) > longest:
            raise refusal(422, f"query has {len(query):,} characters; a text may have {longest:,}")


def check_model(asked: str | None, name: str) -> None:
    """Refuse another model than the one that is served.

    Raises:
        HTTPException: 404.
    """
    if asked is not None and not is_called(asked, name):
        raise refusal(404, f"the model {asked[:100]!r} is not served here; leave it out or name {name!r}")
