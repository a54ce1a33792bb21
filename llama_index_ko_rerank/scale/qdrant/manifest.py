"""What a collection says of itself, in Qdrant's metadata of the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_ko_rerank.embed import embedding_identity, identity_differences
from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, IndexTooNew, InvalidVector, ModelMismatch
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.scale.qdrant.sparse import SparseEncoder

KEY = "ko_rerank"
_FORMAT = 1
_USUAL = BM25Settings()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a collection was built with, and whether it was built to the end.

    Attributes:
        embedding_identity: What identifies the embedding model.
        dimension: The length of its vectors.
        tokenizers: The identity of each view's tokenizer.
        mean_lengths: The mean number of tokens of a passage in each view when it was built.
        user_words: Words of the user's own for Kiwi, each with its tag.
        k1: BM25's constant.
        b: BM25's other constant.
        chunk_tokens: How documents are split.
        source: A digest of the data set that is indexed as a whole on Ray; None otherwise.
        complete: Whether the build came to its end.
    """

    embedding_identity: dict[str, Any]
    dimension: int
    tokenizers: dict[str, str]
    mean_lengths: dict[str, float]
    user_words: list[list[str]] = field(default_factory=list)
    k1: float = _USUAL.k1
    b: float = _USUAL.b
    chunk_tokens: int | None = None
    source: str | None = None
    complete: bool = False

    @classmethod
    def of(
        cls,
        embed_model: BaseEmbedding,
        encoder: SparseEncoder,
        *,
        dimension: int,
        chunk_tokens: int | None = None,
        source: str | None = None,
    ) -> Manifest:
        """Describe a collection that is to be built with this model and these sparse vectors.

        Raises:
            InvalidVector: The model's vectors have no numbers.
        """
        if not dimension:
            raise InvalidVector("the embedding model gave a vector without numbers")
        return cls(
            embedding_identity=dict(embedding_identity(embed_model)),
            dimension=dimension,
            tokenizers=encoder.identity,
            mean_lengths=encoder.mean_lengths,
            user_words=[list(pair) for pair in encoder.morphemes.user_words],
            k1=encoder.settings.k1,
            b=encoder.settings.b,
            chunk_tokens=chunk_tokens,
            source=source,
        )

    def to_metadata(self) -> dict[str, Any]:
        """Return the metadata of the collection."""
        return {KEY: {"format": _FORMAT} | asdict(self)}

    def completed(self) -> Manifest:
        """Return the manifest of a build that came to its end."""
        return replace(self, complete=True)

    def encoder(self) -> SparseEncoder:
        """Make what turns texts into the vectors of this collection.

        Raises:
            ModelMismatch: Here texts are tokenised otherwise than when it was built.
        """
        words = [(word, tag) for word, tag in self.user_words]
        encoder = SparseEncoder(self.mean_lengths, user_words=words, settings=BM25Settings(self.k1, self.b))
        if encoder.identity != self.tokenizers:
            raise ModelMismatch(
                f"the collection was built with the tokenizers {self.tokenizers}, here they are {encoder.identity}; "
                "install that version of Kiwi, or build the collection again with build_qdrant_index(..., "
                "overwrite=True)"
            )
        return encoder

    def check_model(self, identity: Mapping[str, Any]) -> None:
        """Refuse another embedding model than the collection was built with.

        Raises:
            ModelMismatch: Saying in what the two differ.
        """
        differing = identity_differences(self.embedding_identity, identity)
        if differing:
            was = {key: self.embedding_identity.get(key) for key in differing}
            given = {key: identity.get(key) for key in differing}
            raise ModelMismatch(
                f"the collection was built with {was}, and {given} is given; pass the model that it was built with, or "
                "build it again with build_qdrant_index(..., overwrite=True)"
            )


def read_manifest(metadata: Mapping[str, Any] | None, name: str, *, unfinished: bool = False) -> Manifest:
    """Read the metadata of a collection.

    Args:
        metadata: All that Qdrant keeps of it.
        name: Its name, for messages.
        unfinished: Whether its build need not have come to an end.

    Raises:
        DamagedIndex: It was not made by `build_qdrant_index`, or its metadata were changed.
        IndexTooNew: A newer release made it.
        IndexNotFound: Its build did not come to an end.
    """
    found = dict((metadata or {}).get(KEY) or {})
    number = found.pop("format", None)
    if isinstance(number, int) and number > _FORMAT:
        raise IndexTooNew(f"the collection {name!r} has format {number}, this release reads {_FORMAT}; upgrade")
    try:
        manifest = Manifest(**found)
    except TypeError as problem:
        raise DamagedIndex(
            f"the collection {name!r} does not say what it was built with; only collections that build_qdrant_index "
            f"made, on Qdrant 1.16 or newer, can be opened ({problem})"
        ) from problem
    if not (manifest.complete or unfinished):
        raise IndexNotFound(f"the build of the collection {name!r} was interrupted; build it again")
    return manifest
