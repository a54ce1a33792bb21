"""`Collection`: a folder with passages, their indexes, and the settings and models that search them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.memory import BaseMemory
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode

from llama_index_ko_rerank.answer import (
    KoreanChatEngine,
    KoreanQueryEngine,
    SentenceScorer,
    build_chat_engine,
    build_query_engine,
)
from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING, DEFAULT_RERANKER
from llama_index_ko_rerank.data import RetrievalDataset, dataset_nodes, load_dataset
from llama_index_ko_rerank.embed import KoreanEmbedding, embedding_identity
from llama_index_ko_rerank.errors import (
    DamagedIndex,
    IndexExists,
    IndexNotFound,
    InvalidSetting,
    KoRerankError,
    ModelNotFound,
    StoreError,
)
from llama_index_ko_rerank.files import write_json_file, write_text_file
from llama_index_ko_rerank.ingest.sync import (
    DEFAULT_MAX_MB,
    SyncPlan,
    SyncReport,
    check_sources,
    create_empty_index,
    plan_sync,
    run_sync,
)
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.rerank.ltr.model import DEFAULT
from llama_index_ko_rerank.rerank.ltr.postprocessor import LearningToRankPostprocessor
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.hybrid import DEFAULT_WEIGHTS, HybridRetriever
from llama_index_ko_rerank.retrieve.incremental import LexicalIndexStatus, inspect_index, update_index
from llama_index_ko_rerank.store.index import build_index, index_over, open_index
from llama_index_ko_rerank.store.integrity import IntegrityReport, check_integrity, repair
from llama_index_ko_rerank.store.sharded import ShardedVectorStore, find_shards, is_sharded
from llama_index_ko_rerank.store.sqlite.schema import check_model
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore

if TYPE_CHECKING:
    from llama_index_ko_rerank.train.tuning.search import FittedSearch

CANDIDATES = 30
"""How many passages are retrieved for reranking by default."""
SETTINGS_FILE = "ko-rerank.json"
RANKER_FILE = "ranker.json"
_FORMAT = 1
_INDEX, _LEXICAL = "index", "lexical"


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Settings that a collection keeps in its folder.

    Attributes:
        embed_model: Catalog or hub name, or folder, of the embedding; a relative folder lies in the collection. None
            for an embedding that only the caller can make, which `Collection.open` then has to be given.
        rerank_model: The cross-encoder, likewise. None for no cross-encoder.
        weights: Fusion weights of the retrievers ``lexical`` and ``dense``. Defaults to `DEFAULT_WEIGHTS`.
        ranker: The learning-to-rank model: ``default``, the name of a file of fitted weights in the collection, or
            None. A cross-encoder takes its place.
        retrieval_weight: The share of the first stage in the cross-encoder's scores, 0-1.
    """

    embed_model: str | None
    rerank_model: str | None = None
    weights: dict[str, float] | None = None
    ranker: str | None = DEFAULT
    retrieval_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """Findings of `Collection.doctor`.

    Attributes:
        indexes: The report on each index by the name of its folder: one, or one a shard.
        lexical: The state of the lexical index. None where it was not compared: the table is damaged, or in shards.
        problems: What is damaged, in sentences; a shard's begin with its name.
        repairs: What was repaired, likewise.
    """

    indexes: Mapping[str, IntegrityReport]
    lexical: LexicalIndexStatus | None
    problems: tuple[str, ...]
    repairs: tuple[str, ...]


class Collection:
    """A folder with an index over passages, their lexical index, and the settings and models that search them.

    Make one with `create`, `open` or `open_or_create`. The embedding and the index are loaded on first use, once.
    Searches see what is added or deleted, here or by another process; a collection in shards, which `ko-rerank index
    --engine ray` makes, is searched lexically as it is when its retriever is made.

    Attributes:
        folder: The folder, absolute.
        settings: What it keeps; change them with `save_settings`.

    >>> from tempfile import TemporaryDirectory
    >>> from llama_index.core.schema import TextNode
    >>> with TemporaryDirectory() as folder, Collection.create(folder) as collection:
    ...     collection.add_nodes([TextNode(text="배는 아침 일곱 시에 떠난다."), TextNode(text="연차는 열다섯 날이다.")])
    ...     collection.retriever().retrieve("연차는 며칠인가요?")[0].text
    '연차는 열다섯 날이다.'
    """

    def __init__(
        self, folder: Path, settings: CollectionSettings, *, embed_model: BaseEmbedding | None, overwrite: bool = False
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._embed_model = embed_model
        self._overwrite = overwrite
        self._lexical: dict[int, KoreanBM25Retriever] = {}

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        embed_model: str | Path | BaseEmbedding = DEFAULT_EMBEDDING,
        rerank_model: str | Path | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Create an empty collection.

        Args:
            path: Its folder, which is made with its parents.
            embed_model: The embedding: a catalog or hub name, a folder, or any LlamaIndex embedding. Of one that is no
                `KoreanEmbedding` only the identity is kept, and `open` has to be given it.
            rerank_model: A cross-encoder that reorders what is found: a catalog or hub name, or a folder. Defaults to
                none: the learning-to-rank model in the wheel reorders.
            overwrite: Replace a collection that is there.

        Raises:
            IndexExists: There is a collection, and ``overwrite`` is False.
            InvalidSetting: The path is a file, or a collection in shards.
            ModelNotFound, UnsuitableModel: The embedding cannot be loaded.
            StoreError: The folder cannot be written.
        """
        folder = _folder(path)
        if not overwrite and ((folder / SETTINGS_FILE).exists() or index_folder(folder).exists()):
            raise IndexExists(
                f"there is a collection in {folder}; open it with Collection.open, or pass overwrite=True to replace it"
            )
        name, instance = _named(embed_model)
        reranker = None if rerank_model is None else _absolute(rerank_model)
        collection = cls(folder, CollectionSettings(name, reranker), embed_model=instance, overwrite=overwrite)
        collection._refuse_shards()
        collection._write(creates_index=True)
        return collection

    @classmethod
    def open(cls, path: str | Path, *, embed_model: BaseEmbedding | None = None) -> Self:
        """Open a collection that `create`, `ko-rerank index`, `adapt` or `demo` made.

        Its models and indexes are loaded on first use; what uses them first raises ModelNotFound, ModelMismatch where
        the index was built with another embedding, and DamagedIndex or IndexTooNew where it cannot be read.

        Args:
            path: The folder.
            embed_model: The embedding, loaded already. Defaults to the one that the settings name.

        Raises:
            IndexNotFound: The folder is no collection.
            DamagedIndex: The settings cannot be read.
        """
        folder = Path(path).expanduser().absolute()
        return cls(folder, read_settings(folder), embed_model=embed_model)

    @classmethod
    def open_or_create(
        cls,
        path: str | Path,
        *,
        embed_model: str | Path | None = None,
        rerank_model: str | Path | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Open a collection for indexing, or describe one that the first change writes.

        Until that change nothing is written, and with ``overwrite`` the old index is searched. What was fitted to a
        collection stays, except the cross-encoder's retrieval weight where ``rerank_model`` names another.

        Args:
            path: The folder.
            embed_model: Name or folder of the embedding. Defaults to the collection's, or the one in the wheel.
            rerank_model: Name or folder of a cross-encoder. Defaults to the collection's, or none.
            overwrite: Replace what the collection holds and what was fitted to it.

        Raises:
            InvalidSetting: The path is a file.
            DamagedIndex: The settings of a collection that is there cannot be read.
        """
        folder = _folder(path)
        try:
            settings = read_settings(folder)
        except IndexNotFound:
            settings = CollectionSettings(DEFAULT_EMBEDDING)
        embedding = settings.embed_model if embed_model is None else _absolute(embed_model)
        reranker = None if rerank_model is None else _absolute(rerank_model)
        if overwrite:
            settings = CollectionSettings(embedding, reranker)
        else:
            is_other = reranker not in (None, settings.rerank_model)
            settings = replace(
                settings,
                embed_model=embedding,
                rerank_model=reranker or settings.rerank_model,
                retrieval_weight=0.0
                if is_other
                else settings.retrieval_weight,  # it was fitted for the other cross-encoder
            )
        return cls(folder, settings, embed_model=None, overwrite=overwrite)

    @property
    def embed_model(self) -> BaseEmbedding:
        """The embedding, loaded on first use.

        Raises:
            ModelNotFound, UnsuitableModel: It cannot be loaded.
        """
        if self._embed_model is None:
            if self.settings.embed_model is None:
                raise ModelNotFound(
                    f"the collection in {self.folder} was made with an embedding object that it cannot make again; "
                    "pass it to Collection.open(..., embed_model=...)"
                )
            self._embed_model = KoreanEmbedding(self.settings.embed_model)
        return self._embed_model

    @cached_property
    def index(self) -> VectorStoreIndex:
        """LlamaIndex's index over the passages, opened on first use; it inserts, deletes and refreshes documents, too.

        Raises:
            IndexNotFound: There is none yet.
            ModelMismatch: It was built with another embedding than the settings name.
            DamagedIndex, IndexTooNew: It, or a shard of it, cannot be read.
        """
        if is_sharded(self.folder):
            store = ShardedVectorStore(self.folder, embedding_identity=embedding_identity(self.embed_model))
            return index_over(store, self.embed_model, chunk_tokens=store.settings.get("chunk_tokens"))
        return open_index(index_folder(self.folder), embed_model=self.embed_model)

    @property
    def store(self) -> DurableFaissVectorStore | ShardedVectorStore:
        """The vector store of `index`."""
        store = self.index.vector_store
        assert isinstance(store, DurableFaissVectorStore | ShardedVectorStore)  # `index` opens no other
        return store

    @property
    def count(self) -> int:
        """How many passages there are."""
        return self.store.count

    def plan_files(
        self,
        paths: Sequence[str | Path],
        *,
        max_mb: int = DEFAULT_MAX_MB,
        prune: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> SyncPlan:
        """Compare files with what is indexed of them; nothing is written.

        Args:
            paths: Files, and folders that are searched with all that is below them.
            max_mb: The largest file that is read, in millions of bytes.
            prune: Delete what was indexed of a path that is missing or empty now.
            on_progress: Called with the number of known files that were compared, and how many there are.

        Raises:
            InvalidSetting: The collection is in shards.
            DatasetUnavailable: A path is missing, and ``prune`` is False.
            EmptyCorpus: No path holds a document, or one that had some holds none now and ``prune`` is False.
            ModelMismatch: The index was built with another embedding.
            MissingExtra: A library that reads one of the files is not installed.
            DamagedIndex, StoreError: The index cannot be read.
        """
        self._refuse_shards()
        check_sources(paths, prune=prune)
        return plan_sync(
            index_folder(self.folder),
            paths,
            embed_model=self.embed_model,
            leave_out=self.folder,
            max_mb=max_mb,
            prune=prune,
            reset=self._overwrite,
            on_progress=on_progress,
        )

    def sync_files(
        self,
        paths: Sequence[str | Path],
        *,
        max_mb: int = DEFAULT_MAX_MB,
        prune: bool = False,
        on_progress: Callable[[SyncReport], None] | None = None,
    ) -> SyncReport:
        """Bring the index up to date with files: only what changed is embedded, what is gone is deleted.

        A file that cannot be read does not stop the others; the report names it. The arguments and errors are those of
        `plan_files` and `apply_plan`.
        """
        return self.apply_plan(self.plan_files(paths, max_mb=max_mb, prune=prune), on_progress=on_progress)

    def apply_plan(self, plan: SyncPlan, *, on_progress: Callable[[SyncReport], None] | None = None) -> SyncReport:
        """Carry out what `plan_files` found, interruptible at any moment (see `run_sync`).

        Args:
            plan: From `plan_files` of this collection.
            on_progress: Called after every file.

        Raises:
            IndexBusy, IndexReadOnly, DiskFull, StoreError: The index cannot be written; what was done is safe.
        """
        self._write(creates_index=not plan.exists)
        return run_sync(plan, embed_model=self.embed_model, on_progress=on_progress)

    def index_dataset(
        self, data: str | RetrievalDataset, *, overwrite: bool = False, show_progress: bool = False
    ) -> int:
        """Index the passages of a data set as a whole, in one transaction.

        Args:
            data: A data set, or what `load_dataset` takes.
            overwrite: Replace what the collection holds.
            show_progress: Show LlamaIndex's progress bars.

        Returns:
            How many passages there are now.

        Raises:
            InvalidSetting: The collection is in shards.
            UnknownDataset, DatasetUnavailable, MalformedData: The data set cannot be loaded.
            IndexExists: The collection holds passages, and ``overwrite`` is False.
            StoreError: As in `build_index`.
        """
        self._refuse_shards()
        dataset = load_dataset(data) if isinstance(data, str) else data
        place = index_folder(self.folder)
        build_index(
            dataset_nodes(dataset),
            place,
            embed_model=self.embed_model,
            overwrite=overwrite or self._overwrite or _is_empty(place),
            show_progress=show_progress,
        ).vector_store.close()  # type: ignore[attr-defined]  # a DurableFaissVectorStore
        self._write(creates_index=False)
        return self.count

    def add_nodes(self, nodes: Sequence[BaseNode]) -> None:
        """Embed nodes and add them in one transaction; those that carry an embedding keep it.

        Raises:
            InvalidNode, InvalidText, InvalidVector, DuplicateNodeId: As of `DurableFaissVectorStore.add`.
            ModelMismatch: The index was built with another embedding.
            IndexBusy, IndexReadOnly, DiskFull: The index cannot be written.
        """
        self.index.insert_nodes(list(nodes))
        self._forget_shards()

    def delete(self, document_id: str) -> None:
        """Delete the passages of a document by its id; a document that is not there changes nothing."""
        self.store.delete(document_id)
        self._forget_shards()

    def refresh(self, *, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Bring the lexical index on disk up to date, so that the next opening has nothing to tokenise.

        Args:
            on_progress: Called with the number of passages compared, and how many there are.

        Returns:
            How many passages were tokenised.
        """
        self._forget_shards()
        return update_index(self.store, lexical_folder(self.folder), on_progress=on_progress)

    def lexical_retriever(self, *, similarity_top_k: int = CANDIDATES) -> KoreanBM25Retriever:
        """Return the BM25 retriever, opened once for each `similarity_top_k`."""
        if similarity_top_k not in self._lexical:
            store, folder = self.store, lexical_folder(self.folder)
            self._lexical[similarity_top_k] = KoreanBM25Retriever.from_index(
                store, similarity_top_k=similarity_top_k, snapshot=folder
            )
        return self._lexical[similarity_top_k]

    def dense_retriever(self, *, similarity_top_k: int = CANDIDATES) -> BaseRetriever:
        """Return the retriever over the embedding's vectors."""
        return self.index.as_retriever(similarity_top_k=similarity_top_k)

    def retriever(self, *, similarity_top_k: int = CANDIDATES) -> HybridRetriever:
        """Return the fusion of the lexical and the dense retriever with the collection's weights."""
        return HybridRetriever.from_defaults(
            self.lexical_retriever(similarity_top_k=similarity_top_k),
            self.dense_retriever(similarity_top_k=similarity_top_k),
            similarity_top_k=similarity_top_k,
            weights=self.settings.weights or DEFAULT_WEIGHTS,
        )

    def reranker(self, *, top_n: int = 5) -> BaseNodePostprocessor | None:
        """Return what reorders: the collection's cross-encoder, else its learning-to-rank model, else None."""
        if self.settings.rerank_model:
            return self.cross_encoder(top_n=top_n)
        return self.ranker(top_n=top_n) if self.settings.ranker else None

    def cross_encoder(self, *, top_n: int = 5) -> CrossEncoderNodePostprocessor:
        """Return the collection's cross-encoder, or the one in the wheel where it has none."""
        return CrossEncoderNodePostprocessor(
            self.settings.rerank_model or DEFAULT_RERANKER,
            top_n=top_n,
            retrieval_weight=self.settings.retrieval_weight if self.settings.rerank_model else 0.0,
        )

    def ranker(self, *, top_n: int = 5, candidates: int = CANDIDATES) -> LearningToRankPostprocessor:
        """Return the learning-to-rank model fitted to the collection, or the one in the wheel where there is none.

        Args:
            top_n: How many nodes are returned at most.
            candidates: How many of the incoming nodes are reordered.
        """
        fitted = self.settings.ranker if self.settings.ranker != DEFAULT else None
        lexical = next(iter(self._lexical.values()), None) or self.lexical_retriever()
        return LearningToRankPostprocessor.from_index(
            lexical.lexical_index,
            weights=str(self.folder / fitted) if fitted else DEFAULT,
            top_n=top_n,
            candidates=candidates,
        )

    def query_engine(
        self,
        *,
        llm: LLM | None = None,
        rerank: bool = True,
        reranker: BaseNodePostprocessor | None = None,
        similarity_top_k: int = CANDIDATES,
        top_n: int = 5,
        sentences: int = 3,
        scorer: SentenceScorer | None = None,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> KoreanQueryEngine:
        """Return an engine that answers in Korean from numbered passages of the collection.

        Args:
            llm: Writes the answer. Defaults to none: sentences are copied from the passages.
            rerank: Whether passages are reordered.
            reranker: What reorders them. Defaults to `reranker()`.
            similarity_top_k: How many passages are retrieved.
            top_n: How many passages an answer is made from at most.
            sentences: How many sentences are copied at most.
            scorer: Scores those sentences in place of their overlap with the question.
            streaming: Whether responses stream.
            callback_manager: LlamaIndex's callbacks.

        Raises:
            InvalidSetting: A number is under 1.
            ModelNotFound, ModelMismatch, DamagedIndex: As `index` raises them.
        """
        return build_query_engine(
            self.retriever(similarity_top_k=similarity_top_k),
            reranker=(reranker or self.reranker(top_n=top_n)) if rerank else None,
            llm=llm,
            top_n=top_n,
            sentences=sentences,
            scorer=scorer,
            streaming=streaming,
            callback_manager=callback_manager,
        )

    def chat_engine(
        self,
        *,
        llm: LLM | None = None,
        rerank: bool = True,
        reranker: BaseNodePostprocessor | None = None,
        similarity_top_k: int = CANDIDATES,
        top_n: int = 5,
        sentences: int = 3,
        scorer: SentenceScorer | None = None,
        memory: BaseMemory | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> KoreanChatEngine:
        """Return an engine that holds a conversation over the collection.

        The arguments and errors are those of `query_engine`; ``memory`` keeps the conversation and defaults to one of
        1,000 tokens.
        """
        return build_chat_engine(
            self.retriever(similarity_top_k=similarity_top_k),
            reranker=(reranker or self.reranker(top_n=top_n)) if rerank else None,
            llm=llm,
            top_n=top_n,
            sentences=sentences,
            scorer=scorer,
            memory=memory,
            callback_manager=callback_manager,
        )

    def doctor(self, *, repair: bool = False) -> CollectionReport:
        """Read all of the collection and report what is damaged.

        Args:
            repair: First make again what is derived from the tables: snapshots and lexical index.

        Raises:
            DamagedIndex: A table cannot be opened at all.
            IndexNotFound, IndexTooNew: The index is missing, or a newer release made it.
            IndexBusy, IndexReadOnly, DiskFull: The repair cannot be written.
        """
        sharded = is_sharded(self.folder)
        folders = find_shards(self.folder).folders if sharded else [index_folder(self.folder)]
        indexes: dict[str, IntegrityReport] = {}
        problems: list[str] = []
        repairs: list[str] = []
        for folder in folders:
            prefix = f"{folder.name}: " if sharded else ""
            if repair:
                repairs += [prefix + line for line in _repair(folder, None if sharded else lexical_folder(self.folder))]
            report = indexes[folder.name] = check_integrity(folder)
            found = [*report.problems, *self._model_problems(report)]
            if not sharded:
                lexical = _lexical_status(folder, lexical_folder(self.folder))
                found += [lexical.reason] if lexical and lexical.state == "damaged" else []
            problems += [prefix + problem for problem in found]
        return CollectionReport(indexes, None if sharded else lexical, tuple(problems), tuple(repairs))

    def save_settings(self, settings: CollectionSettings) -> None:
        """Change what the collection keeps; retrievers and rerankers made from now on follow it."""
        write_settings(self.folder, settings)
        self.settings = settings

    def use_fitted(self, fitted: FittedSearch, *, rerank_model: str | None) -> None:
        """Keep what `tune_search` found worth keeping.

        Args:
            fitted: Its result.
            rerank_model: The cross-encoder that was tried, kept only where it helped. None for none.
        """
        write_text_file(self.folder / RANKER_FILE, fitted.fitted_ranker.to_json())
        self.save_settings(fitted_settings(self.settings, fitted, rerank_model=rerank_model))

    def close(self) -> None:
        """Close the index where it was opened; closing twice is fine, and the next use opens it again."""
        if "index" in self.__dict__:
            self.store.close()
            del self.__dict__["index"]
        self._lexical.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, *, creates_index: bool) -> None:
        """Write the settings, and an empty index where one is wanted."""
        if creates_index:
            create_empty_index(index_folder(self.folder), embed_model=self.embed_model, overwrite=self._overwrite)
        write_settings(self.folder, self.settings)
        self._overwrite = False

    def _refuse_shards(self) -> None:
        if is_sharded(self.folder):
            raise InvalidSetting(
                f"the collection in {self.folder} has shards; add --engine ray to `ko-rerank index` (in Python: "
                "scale.ingest_files), or name another folder"
            )

    def _forget_shards(self) -> None:
        """Drop lexical retrievers over shards, which do not follow the index."""
        if isinstance(self.store, ShardedVectorStore):
            self._lexical.clear()

    def _model_problems(self, report: IntegrityReport) -> list[str]:
        """Say whether the embedding can be loaded, and whether it is the one that made the vectors."""
        try:
            check_model(report.embedding_identity, embedding_identity(self.embed_model), "this collection")
        except KoRerankError as error:
            return [str(error)]
        return []


def index_folder(folder: str | Path) -> Path:
    """Return where the vector index of a collection lies."""
    return Path(folder) / _INDEX


def lexical_folder(folder: str | Path) -> Path:
    """Return where the lexical index of a collection lies."""
    return Path(folder) / _LEXICAL


def write_settings(folder: str | Path, settings: CollectionSettings) -> None:
    """Write a collection's settings; folders inside it are kept relative, so that it can be moved."""
    folder = Path(folder).absolute()
    content = {"format": _FORMAT, **asdict(settings)}
    for name in ("embed_model", "rerank_model"):
        content[name] = content[name] and _relative(content[name], folder)
    write_json_file(folder / SETTINGS_FILE, content)


def read_settings(folder: str | Path) -> CollectionSettings:
    """Read a collection's settings.

    Raises:
        IndexNotFound: The folder is no collection.
        DamagedIndex: The settings cannot be read.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        return CollectionSettings(
            embed_model=content["embed_model"] and _found(content["embed_model"], folder),
            rerank_model=content["rerank_model"] and _found(content["rerank_model"], folder),
            weights=content["weights"],
            ranker=content["ranker"],
            retrieval_weight=float(content["retrieval_weight"]),
        )
    except FileNotFoundError as error:
        raise IndexNotFound(
            f"{str(folder)!r} holds no {SETTINGS_FILE}; make a collection there with `ko-rerank index {folder}`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedIndex(f"{SETTINGS_FILE} in {str(folder)!r} cannot be read: {error}") from error


def fitted_settings(
    settings: CollectionSettings, fitted: FittedSearch, *, rerank_model: str | None
) -> CollectionSettings:
    """Return settings with what `tune_search` found worth keeping; a fitted ranker lies in `RANKER_FILE`."""
    keeps_model = fitted.ranker == "cross-encoder"
    rankers = {"none": None, "default": DEFAULT, "fitted": RANKER_FILE, "cross-encoder": None}
    return replace(
        settings,
        weights=fitted.fusion.weights if fitted.fusion else None,
        ranker=rankers[fitted.ranker],
        rerank_model=rerank_model if keeps_model else None,
        retrieval_weight=(fitted.retrieval_weight or 0.0) if keeps_model else 0.0,
    )


def _repair(folder: Path, lexical: Path | None) -> list[str]:
    done = list(repair(folder))
    if lexical is None:
        return done
    with DurableFaissVectorStore(folder, create=False) as store:
        try:
            tokenised = update_index(store, lexical)
        except DamagedIndex:
            return done  # the check that follows says what is damaged
    return [*done, f"brought the lexical snapshot up to date; {tokenised:,} passages were tokenised"]


def _lexical_status(folder: Path, lexical: Path) -> LexicalIndexStatus | None:
    with DurableFaissVectorStore(folder, create=False) as store:
        try:
            return inspect_index(store, lexical)
        except DamagedIndex:
            return None  # the report on the index names the rows


def _is_empty(folder: Path) -> bool:
    """Return whether there is an index with no passage, as `create` leaves it."""
    try:
        with DurableFaissVectorStore(folder, create=False) as store:
            return store.count == 0
    except StoreError:
        return False


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InvalidSetting(f"{str(path)!r} is a file; name the folder of a collection")
    return folder


def _named(embed_model: str | Path | BaseEmbedding) -> tuple[str | None, BaseEmbedding | None]:
    """Return the name that makes an embedding again, where there is one, and the embedding, where it is loaded."""
    if not isinstance(embed_model, BaseEmbedding):
        return _absolute(embed_model), None
    return (_absolute(embed_model.model_name) if type(embed_model) is KoreanEmbedding else None), embed_model


def _absolute(model: str | Path) -> str:
    """Make a folder's path hold in other working folders, too; a name stays as it is."""
    return str(Path(model).absolute()) if Path(model).is_dir() else str(model)


def _relative(model: str, folder: Path) -> str:
    path = Path(model).absolute()
    return path.relative_to(folder).as_posix() if path.is_dir() and path.is_relative_to(folder) else model


def _found(model: str, folder: Path) -> str:
    return str(folder / model) if (folder / model).is_dir() else model
