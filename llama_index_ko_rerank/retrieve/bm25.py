"""Korean BM25 as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from numpy.typing import NDArray

from llama_index_ko_rerank.errors import DamagedIndex, EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.ranked_node import LegHit, RankedNode
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex, View
from llama_index_ko_rerank.retrieve.postings import BM25Settings
from llama_index_ko_rerank.retrieve.snapshot import load_lexical_index, save_lexical_index, write_whole
from llama_index_ko_rerank.text.kiwi import UserWord
from llama_index_ko_rerank.text.normalize import check_query

_NODES = "nodes.jsonl"


class KoreanBM25Retriever(BaseRetriever):
    """Finds passages by the words they share with the question: Kiwi morphemes, character bigrams, or both.

    Make one with `from_nodes`, `from_index` or `load`. Questions and passages are brought to one normal form and go
    through one tokenizer. A node that shares no token with the question is not returned; equal scores keep the order of
    the collection; asking for more than there is gives what there is. Each result is a `RankedNode` that says what each
    view thought of it.

    Attributes:
        similarity_top_k: How many nodes at most a question gets.
        filters: Only nodes whose metadata pass are found; None finds all. May be assigned at any time.
    """

    def __init__(
        self,
        index: LexicalIndex,
        nodes: Mapping[str, BaseNode],
        *,
        similarity_top_k: int = 10,
        filters: MetadataFilters | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        if similarity_top_k < 1:
            raise InvalidSetting(f"similarity_top_k must be 1 or more, not {similarity_top_k}")
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.metadata_mode = metadata_mode
        self._index = index
        self._nodes = dict(nodes)
        self._lock = threading.RLock()
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        *,
        similarity_top_k: int = 10,
        view: View = "both",
        user_words: Sequence[UserWord] = (),
        settings: BM25Settings | None = None,
        filters: MetadataFilters | None = None,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        on_progress: Callable[[int, int], None] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> KoreanBM25Retriever:
        """Index nodes.

        Args:
            nodes: What is searched, in document order.
            similarity_top_k: How many nodes at most a question gets.
            view: ``both`` (default), ``morphemes`` or ``bigrams``.
            user_words: Words that Kiwi should know, each with its tag: ``("한들소프트", "NNP")``.
            settings: BM25's constants.
            filters: Only nodes whose metadata pass are found.
            metadata_mode: Which metadata are searched with the text; by default what an embedding model would see.
            on_progress: Called with the number of nodes indexed and in all.
            callback_manager: LlamaIndex's callbacks.

        Raises:
            EmptyCorpus: There are no nodes.
            DuplicateNodeId: Two nodes have one id.
            InvalidText: A text holds lone surrogates.
            InvalidSetting: A view, a user word or a number is out of range.
        """
        if not nodes:
            raise EmptyCorpus("there are no nodes to search; pass at least one")
        retriever = cls(
            LexicalIndex(view, user_words=user_words, settings=settings),
            {},
            similarity_top_k=similarity_top_k,
            filters=filters,
            metadata_mode=metadata_mode,
            callback_manager=callback_manager,
        )
        retriever.add(nodes, on_progress=on_progress)
        return retriever

    def add(self, nodes: Sequence[BaseNode], *, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Add nodes; what is there already is not tokenised again.

        Raises:
            DuplicateNodeId: An id is given twice or is there already; nothing is added.
            InvalidText: A text holds lone surrogates; nothing is added.
        """
        ids = [node.node_id for node in nodes]
        texts = [node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        with self._lock:
            self._index.add(ids, texts, on_progress=on_progress)
            self._nodes.update(zip(ids, nodes, strict=True))

    def delete(self, node_ids: Sequence[str]) -> int:
        """Delete nodes by id, passing over unknown ones, and return how many were there."""
        with self._lock:
            for node_id in node_ids:
                self._nodes.pop(node_id, None)
            return self._index.delete(node_ids)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def lexical_index(self) -> LexicalIndex:
        """The index behind this retriever, as the learning-to-rank features read it."""
        return self._index

    def persist(self, folder: str | Path) -> None:
        """Write the index and its nodes into a folder.

        A reader sees the old state or the new one: the manifest is replaced last, and names what belongs to it.
        """
        folder = Path(folder)
        with self._lock:
            lines = [self._nodes[node_id].to_json() for node_id in self._index.ids]
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / _NODES, ("\n".join(lines) + "\n").encode("utf-8"))
            save_lexical_index(self._index, folder, {"metadata_mode": self.metadata_mode.value})

    @classmethod
    def load(
        cls, folder: str | Path, *, similarity_top_k: int = 10, filters: MetadataFilters | None = None
    ) -> KoreanBM25Retriever:
        """Read what `persist` wrote.

        Raises:
            IndexNotFound: The folder holds no lexical index.
            DamagedIndex: A file is truncated, changed or unreadable.
            ModelMismatch: It was built with another tokenizer or another version of Kiwi.
        """
        folder = Path(folder)
        index, extra = load_lexical_index(folder)
        try:
            lines = (folder / _NODES).read_text(encoding="utf-8").splitlines()
            nodes = [TextNode.from_json(line) for line in lines]
        except (OSError, ValueError) as problem:
            raise DamagedIndex(
                f"{_NODES} in {str(folder)!r} cannot be read ({problem}); rebuild the index"
            ) from problem
        by_id = {node.node_id: node for node in nodes}
        if list(by_id) != index.ids:
            raise DamagedIndex(f"{_NODES} in {str(folder)!r} does not belong to the index beside it; rebuild the index")
        return cls(
            index,
            by_id,
            similarity_top_k=similarity_top_k,
            filters=filters,
            metadata_mode=MetadataMode(extra["metadata_mode"]),
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = check_query(query_bundle.query_str)
        with self._lock:
            hits = self._index.search(query, self.similarity_top_k, mask=self._mask())
            return [
                RankedNode(
                    node=self._nodes[self._index.ids[hit.position]],
                    score=hit.score,
                    legs={name: LegHit(rank=rank, score=hit.scores[name]) for name, rank in hit.ranks.items()},
                )
                for hit in hits
            ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _mask(self) -> NDArray[np.bool_] | None:
        if self.filters is None or not self.filters.filters:
            return None
        passes = build_metadata_filter_fn(lambda node_id: self._nodes[node_id].metadata, self.filters)
        return np.fromiter((passes(node_id) for node_id in self._index.ids), bool, len(self._index))
