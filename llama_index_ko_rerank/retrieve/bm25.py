"""Korean BM25 retriever for LlamaIndex."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.vector_stores.types import MetadataFilters
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DamagedIndex, EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.retrieve.incremental import load_or_empty, save_snapshot
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.retrieve.lexical_index import ANALYZERS, Analyzer, LexicalIndex
from llama_index_ko_rerank.retrieve.persistence import (
    load_lexical_index,
    read_digested,
    remove_stale,
    save_lexical_index,
    write_content_addressed,
)
from llama_index_ko_rerank.store.filters import Group, compile_filters, matches_compiled
from llama_index_ko_rerank.store.sharded import ShardedVectorStore
from llama_index_ko_rerank.store.vector_store import DurableFaissVectorStore
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.normalize import check_query, check_text
from llama_index_ko_rerank.types import RankedNode, SourceHit

_NODES = "nodes.jsonl"


class KoreanBM25Retriever(BaseRetriever):
    """BM25 over Kiwi morphemes, character bigrams, or both.

    Make one with `from_nodes`, `from_index` or `from_persist_dir`. Queries and passages are brought to one normal form
    and go through one tokenizer. A node that shares no token with the query is not returned; equal scores keep the
    order of the collection. Each result is a `RankedNode` whose sources are the analyzers.

    Args:
        index: Lexical index over the nodes.
        nodes: The indexed nodes by id.
        similarity_top_k: Most nodes returned for a query.
        filters: Only nodes whose metadata pass are found, by the rules of the vector store (`store.filters.matches`).
            Defaults to all nodes. The attribute may be assigned at any time.
        metadata_mode: Which metadata are searched with the text. Defaults to what an embedding model would see.
        callback_manager: LlamaIndex's callbacks.
        verbose: Whether LlamaIndex prints each retrieval.

    Raises:
        InvalidSetting: `similarity_top_k` is below 1.
        UnsupportedQuery, InvalidFilter: Filters that cannot be applied; on construction, or when they are first used.
    """

    def __init__(
        self,
        index: LexicalIndex,
        *,
        nodes: Mapping[str, BaseNode],
        similarity_top_k: int = 10,
        filters: MetadataFilters | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        if similarity_top_k < 1:
            raise InvalidSetting(f"similarity_top_k must be 1 or more, not {similarity_top_k}")
        self.similarity_top_k = similarity_top_k
        compile_filters(filters)
        self.filters = filters
        self._last_mask: tuple[Group, NDArray[np.bool_]] | None = None
        self.metadata_mode = metadata_mode
        self._index = index
        self._nodes = dict(nodes)
        self._store: DurableFaissVectorStore | ShardedVectorStore | None = None
        self._generations: tuple[int, ...] = ()
        self._hashes: dict[str, str] = {}
        self._lock = threading.RLock()
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        *,
        similarity_top_k: int = 10,
        analyzers: Sequence[Analyzer] = ANALYZERS,
        user_words: Sequence[UserWord] = (),
        settings: BM25Settings | None = None,
        filters: MetadataFilters | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        on_progress: Callable[[int, int], None] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> KoreanBM25Retriever:
        """Index nodes.

        Args:
            nodes: The nodes in document order, whose order breaks ties.
            similarity_top_k: Most nodes returned for a query.
            analyzers: ``morphemes``, ``bigrams``, or both.
            user_words: Words that Kiwi should know, each with its tag: ``("한들소프트", "NNP")``.
            settings: BM25's constants.
            filters: Only nodes whose metadata pass are found.
            metadata_mode: Which metadata are searched with the text. Defaults to what an embedding model would see.
            on_progress: Called with the number of nodes indexed and in all.
            callback_manager: LlamaIndex's callbacks.

        Raises:
            EmptyCorpus: There are no nodes.
            DuplicateNodeId: Two nodes have one id.
            InvalidText: A text holds lone surrogates.
            InvalidSetting: An analyzer, a user word or a number is out of range.
        """
        if not nodes:
            raise EmptyCorpus("there are no nodes to search; pass at least one")
        retriever = cls(
            LexicalIndex(analyzers, user_words=user_words, settings=settings),
            nodes={},
            similarity_top_k=similarity_top_k,
            filters=filters,
            metadata_mode=metadata_mode,
            callback_manager=callback_manager,
        )
        retriever.add(nodes, on_progress=on_progress)
        return retriever

    @classmethod
    def from_index(
        cls,
        index: VectorStoreIndex | DurableFaissVectorStore | ShardedVectorStore,
        *,
        similarity_top_k: int = 10,
        analyzers: Sequence[Analyzer] = ANALYZERS,
        user_words: Sequence[UserWord] = (),
        settings: BM25Settings | None = None,
        filters: MetadataFilters | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        snapshot: str | Path | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> KoreanBM25Retriever:
        """Search the nodes of a vector index, and keep up with its changes.

        What is added to the index or deleted from it later, by this process or another, is found or gone at the next
        query; only what is new is tokenised. All shards of an index are one lexical index, so that a token weighs the
        same in every shard.

        `index` comes from `build_index` or `open_index`, or is the store of one. `snapshot` is a folder to keep what
        was tokenised in, so that opening again tokenises only what is new; it is read and written here, never trusted
        over the index, and may be deleted at any time. The other arguments are those of `from_nodes`.

        Raises:
            InvalidSetting: The index is not over a store of this package; use `from_nodes`.
        """
        store = index.vector_store if isinstance(index, VectorStoreIndex) else index
        if not isinstance(store, DurableFaissVectorStore | ShardedVectorStore):
            raise InvalidSetting(
                f"from_index reads a DurableFaissVectorStore, not {type(store).__name__}; pass its nodes to from_nodes"
            )
        lexical = LexicalIndex(analyzers, user_words=user_words, settings=settings)
        hashes: dict[str, str] = {}
        if snapshot is not None:
            lexical, hashes = load_or_empty(Path(snapshot), lexical, metadata_mode)
        retriever = cls(
            lexical,
            nodes={},
            similarity_top_k=similarity_top_k,
            filters=filters,
            metadata_mode=metadata_mode,
            callback_manager=callback_manager,
        )
        retriever._store = store
        retriever._hashes = hashes
        with retriever._lock:
            retriever._catch_up()
            if snapshot is not None and retriever._hashes != hashes:
                save_snapshot(Path(snapshot), retriever._index, retriever._hashes, metadata_mode)
        return retriever

    def add(self, nodes: Sequence[BaseNode], *, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Add nodes; what is there already is not tokenised again.

        Raises:
            DuplicateNodeId: An id is given twice or is there already; nothing is added.
            InvalidText: A text holds lone surrogates; nothing is added.
        """
        self._check_standalone("add nodes to")
        self._add(nodes, on_progress)

    def _add(self, nodes: Sequence[BaseNode], on_progress: Callable[[int, int], None] | None = None) -> None:
        ids = [node.node_id for node in nodes]
        texts = [node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        with self._lock:
            self._last_mask = None
            self._index.add(ids, texts, on_progress=on_progress)
            self._nodes.update(zip(ids, nodes, strict=True))

    def delete(self, node_ids: Sequence[str]) -> int:
        """Delete nodes by id, passing over unknown ones, and return how many were there."""
        self._check_standalone("delete nodes from")
        return self._delete(node_ids)

    def _delete(self, node_ids: Sequence[str]) -> int:
        with self._lock:
            self._last_mask = None
            for node_id in node_ids:
                self._nodes.pop(node_id, None)
            return self._index.delete(node_ids)

    def _check_standalone(self, action: str) -> None:
        if self._store is not None:
            raise InvalidSetting(f"this retriever follows the index in {self._store.path!r}; {action} that index")

    def _catch_up(self) -> None:
        """Bring the lexical index up to the newest generation of the store."""
        if self._store is None:
            return
        shards = self._store.client if isinstance(self._store, ShardedVectorStore) else [self._store]
        generations = tuple(store.generation for store in shards)
        if generations == self._generations:
            return
        nodes = {node.node_id: node for node in self._store.nodes()}
        hashes = {node_id: node.hash for node_id, node in nodes.items()}
        self._delete([node_id for node_id, known in self._hashes.items() if hashes.get(node_id) != known])
        self._add([node for node_id, node in nodes.items() if node_id not in self._index.positions])
        self._nodes, self._hashes, self._generations, self._last_mask = nodes, hashes, generations, None

    def __len__(self) -> int:
        return len(self._index)

    @property
    def lexical_index(self) -> LexicalIndex:
        """The index of this retriever, from which learning to rank takes its features."""
        return self._index

    def persist(self, path: str | Path) -> None:
        """Write the index and its nodes into a folder, for `from_persist_dir`.

        A crash at any moment leaves the old state or the new one: the manifest is replaced last, and names what belongs
        to it.

        Raises:
            InvalidText: Metadata or an id hold lone surrogates; nothing is written.
        """
        folder = Path(path)
        with self._lock:
            lines = [_to_line(self._nodes[node_id]) for node_id in self._index.ids]
            folder.mkdir(parents=True, exist_ok=True)
            entry = write_content_addressed(folder, _NODES, "".join(lines).encode("utf-8"))
            save_lexical_index(self._index, folder, {"metadata_mode": self.metadata_mode.value, "nodes": entry})
            remove_stale(folder, _NODES, entry)

    @classmethod
    def from_persist_dir(
        cls,
        path: str | Path,
        *,
        similarity_top_k: int = 10,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> KoreanBM25Retriever:
        """Read what `persist` wrote; the settings are those of the class.

        Raises:
            IndexNotFound: The folder holds no lexical index.
            DamagedIndex: A file is truncated, changed or unreadable.
            ModelMismatch: It was built with another tokenizer or another version of Kiwi.
        """
        folder = Path(path)
        index, extra = load_lexical_index(folder)
        try:
            metadata_mode = MetadataMode(extra["metadata_mode"])
            lines = read_digested(folder, extra["nodes"]).decode("utf-8").split("\n")[:-1]
            nodes = [json_to_doc(json.loads(line)) for line in lines]
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedIndex(f"the nodes in {str(folder)!r} cannot be read ({error}); rebuild the index") from error
        by_id = {node.node_id: node for node in nodes}
        if list(by_id) != index.ids:
            raise DamagedIndex(
                f"the nodes in {str(folder)!r} do not belong to the index beside them; rebuild the index"
            )
        return cls(
            index,
            nodes=by_id,
            similarity_top_k=similarity_top_k,
            filters=filters,
            metadata_mode=metadata_mode,
            callback_manager=callback_manager,
            verbose=verbose,
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = check_query(query_bundle.query_str)
        with self._lock:
            self._catch_up()
            hits = self._index.search(query, self.similarity_top_k, mask=self._mask())
            return [
                RankedNode(
                    node=self._nodes[self._index.ids[hit.position]],
                    score=hit.score,
                    sources={name: SourceHit(rank=rank, score=hit.scores[name]) for name, rank in hit.ranks.items()},
                )
                for hit in hits
            ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _mask(self) -> NDArray[np.bool_] | None:
        condition = compile_filters(self.filters)
        if condition is None:
            return None
        if self._last_mask is None or self._last_mask[0] != condition:
            nodes = (self._nodes[node_id] for node_id in self._index.ids)
            passing = (matches_compiled(condition, node.metadata, ref_doc_id=node.ref_doc_id) for node in nodes)
            self._last_mask = condition, np.fromiter(passing, bool, len(self._index))
        return self._last_mask[1]


def _to_line(node: BaseNode) -> str:
    line = json.dumps(doc_to_json(node), ensure_ascii=False)
    check_text(line, f"node {node.node_id!r}")
    return f"{line}\n"
