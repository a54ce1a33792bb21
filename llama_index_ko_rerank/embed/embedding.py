"""The embedding class for LlamaIndex: a Korean model with the prompts, pooling and length that it was trained with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.schema import ImageType
from llama_index.core.utils import infer_torch_device

from llama_index_ko_rerank.catalog import DEFAULT_EMBEDDING, PoolingMode
from llama_index_ko_rerank.embed.encoder import Encoder, Overflow
from llama_index_ko_rerank.embed.identity import FileState, Identity, fingerprint, model_files
from llama_index_ko_rerank.embed.loading import DtypeName, find_model_folder
from llama_index_ko_rerank.errors import InvalidSetting, UnsuitableModel, nearest
from llama_index_ko_rerank.text.normalize import check_query, check_text, normalize

if TYPE_CHECKING:
    # HuggingFaceEmbedding has no type annotations for a checker to read; its typed parent stands in for it.
    from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding as HuggingFaceEmbedding
    from sentence_transformers import SentenceTransformer
else:
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

LARGEST_BATCH = 2048  # LlamaIndex's own bound

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class KoreanEmbedding(HuggingFaceEmbedding):
    """A `HuggingFaceEmbedding` that gets a Korean model right: prompts, pooling, length, and Korean text as it comes.

    Texts and questions are normalised first (NFC, width, invisible characters). A vector depends on its text alone: not
    on the batch size, nor on what else is in the call. Over-long texts are cut by the model; how many is logged once a
    call. One instance may be used from many threads, which wait for each other; the asynchronous methods leave the
    event loop free. An ``embeddings_cache`` keeps passages only, never questions, since the two have different vectors.

    Args:
        model_name: A catalog name or alias, a hub name (``owner/name``), or a folder. A folder of that name wins. Where
            nothing is named, ``ko-static``, which is in the wheel and needs no network.
        query_instruction: Put before each question; nothing where empty. Defaults to what the catalog or
            the model says.
        text_instruction: Put before each passage; likewise.
        pooling: ``cls``, ``mean``, ``max`` or ``lasttoken``. None is what the model says, and for a bare transformers
            checkpoint what the catalog says, or else the mean (for a decoder the last token).
        max_length: The longest input in tokens, special tokens and prompt included; defaults to the model's
            own limit.
            A static embedding has none.
        overflow: What becomes of a text beyond that length: ``truncate`` cuts it, ``window`` averages the vectors of
            its windows by their numbers of tokens.
        dtype: The number format to compute in: ``float32``, ``float16``, ``bfloat16``, or ``auto``, which is bfloat16
            on a GPU that has it, float16 on another accelerator, float32 on a processor. Vectors are float32 always.
        device: A torch device such as ``cpu`` or ``cuda:1``; defaults to an accelerator where there is one.
        embed_batch_size: How many texts go through the model at once, 1-2048.
        revision: A commit, branch or tag of the hub; defaults to the catalog's pinned commit, or the newest.
        trust_remote_code: Let Python code of the model's repository run. Only for code that you have read.
        local_files_only: Never ask the hub, only look at earlier downloads.
        cache_folder: Where downloads are kept; defaults to the hub's own cache.
        show_progress_bar: Show a progress bar in batch calls.
        normalize: Must be True; vectors are of unit length here.
        num_workers: How many batches of an asynchronous call are under way at once.
        embeddings_cache: A LlamaIndex key-value store for the vectors of passages; not part of `to_dict`.
        callback_manager: LlamaIndex's callback manager.
        rate_limiter: LlamaIndex's rate limiter.

    Raises:
        InvalidSetting: A parameter is unknown, out of range, or not possible with this model or machine.
        ModelNotFound: There is no such folder or catalog name, and the hub does not have it or is out of reach.
        DamagedModel: The data file of ``e5-small`` is not the one that was pinned.
        UnsuitableModel: What was found is damaged, or is no embedding model, or has only pickled weights.
    """

    max_length: int | None = None
    query_instruction: str | None = None
    text_instruction: str | None = None
    pooling: PoolingMode | None = None
    overflow: Overflow = "truncate"
    dtype: DtypeName = "float32"
    device: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    cache_folder: str | None = None
    show_progress_bar: bool = False
    embeddings_cache: Any | None = Field(default=None, exclude=True)

    _encoder: Encoder = PrivateAttr()
    _model: SentenceTransformer = PrivateAttr()
    _files: tuple[FileState, ...] = PrivateAttr()
    _short_name: str = PrivateAttr()
    _background: ThreadPoolExecutor = PrivateAttr()

    def __init__(
        self,
        model_name: str | Path = DEFAULT_EMBEDDING,
        *,
        query_instruction: str | None = None,
        text_instruction: str | None = None,
        pooling: PoolingMode | None = None,
        max_length: int | None = None,
        overflow: Overflow = "truncate",
        dtype: DtypeName = "float32",
        device: str | None = None,
        embed_batch_size: int = 32,
        revision: str | None = None,
        trust_remote_code: bool = False,
        local_files_only: bool = False,
        cache_folder: str | None = None,
        show_progress_bar: bool = False,
        normalize: bool = True,
        num_workers: int | None = None,
        embeddings_cache: Any = None,
        callback_manager: Any = None,
        rate_limiter: Any = None,
        **unknown: object,
    ) -> None:
        _refuse_unknown(unknown, signature(type(self).__init__).parameters.keys() - {"self", "unknown"})
        _check_settings(
            pooling=pooling,
            dtype=dtype,
            overflow=overflow,
            max_length=max_length,
            embed_batch_size=embed_batch_size,
            normalize=normalize,
        )
        folder = find_model_folder(
            str(model_name),
            revision=revision,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
        )
        files = model_files(folder.path)
        encoder = Encoder(
            folder,
            pooling=pooling,
            max_length=max_length,
            overflow=overflow,
            dtype=dtype,
            device=device or infer_torch_device(),
            trust_remote_code=trust_remote_code,
        )
        query_prompt = folder.query_prompt if query_instruction is None else query_instruction
        passage_prompt = folder.passage_prompt if text_instruction is None else text_instruction
        encoder.check_room(query_prompt)
        encoder.check_room(passage_prompt)
        fields: dict[str, Any] = {
            "model_name": str(model_name) if folder.is_local else folder.name,
            "query_instruction": query_prompt,
            "text_instruction": passage_prompt,
            "pooling": pooling,
            "max_length": encoder.max_tokens,
            "overflow": overflow,
            "dtype": dtype,
            "device": device,
            "embed_batch_size": embed_batch_size,
            "revision": folder.revision,
            "trust_remote_code": trust_remote_code,
            "local_files_only": local_files_only,
            "cache_folder": cache_folder,
            "show_progress_bar": show_progress_bar,
            "num_workers": num_workers,
            "embeddings_cache": embeddings_cache,
            "callback_manager": callback_manager,
            "rate_limiter": rate_limiter,
        }
        # HuggingFaceEmbedding's constructor is left out: it would load the model again, without prompts and revision.
        super(HuggingFaceEmbedding, self).__init__(**fields)
        self._encoder = encoder
        self._model = encoder.model
        self._files = files
        self._short_name = folder.name
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="korean-embedding")

    @classmethod
    def class_name(cls) -> str:
        """Name the class for LlamaIndex's serialisation."""
        return "KoreanEmbedding"

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return self._encoder.dimension

    @property
    def max_tokens(self) -> int | None:
        """The longest input in tokens, special tokens and prompt included; None where there is no limit."""
        return self._encoder.max_tokens

    @property
    def identity(self) -> Identity:
        """What identifies the vectors of this model, in JSON scalars, see `embedding_identity`."""
        identity: Identity = {
            "class_name": self.class_name(),
            "name": self._short_name,
            "fingerprint": fingerprint(self._files),
            "dimension": self.dimension,
            "query_prompt": self.query_instruction,
            "passage_prompt": self.text_instruction,
            "pooling": self._encoder.pooling,
            "max_length": self.max_tokens,
            "normalized": True,
        }
        return identity | {"overflow": "window"} if self.overflow == "window" else identity

    def token_count(self, text: str) -> int:
        """Count the tokens that the model would read of a text, special tokens included and no prompt; none cut off."""
        return self._encoder.token_counts([normalize(text)])[0]

    def get_query_embedding(self, query: str) -> Embedding:
        """Turn a question into a vector; the embeddings cache, which LlamaIndex keys by text alone, is not read.

        Raises:
            BlankQuery: The question is None or blank.
            InvalidText: The question holds lone surrogates.
        """
        if self.embeddings_cache is None:
            return super().get_query_embedding(query)
        return self.model_copy(update={"embeddings_cache": None}).get_query_embedding(query)

    async def aget_query_embedding(self, query: str) -> Embedding:
        """Turn a question into a vector without blocking the event loop, see `get_query_embedding`."""
        if self.embeddings_cache is None:
            return await super().aget_query_embedding(query)
        return await self.model_copy(update={"embeddings_cache": None}).aget_query_embedding(query)

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Embedding]:
        """Turn passages into vectors, in their order; batches are formed by length over the whole call.

        Raises:
            InvalidText: A text holds lone surrogates (raised before any work), or the model reads no token in it.
        """
        order = self._longest_first(texts)
        vectors = super().get_text_embedding_batch(
            [texts[index] for index in order], show_progress or self.show_progress_bar, **kwargs
        )
        return _restore(order, vectors)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Turn passages into vectors without blocking the event loop, see `get_text_embedding_batch`."""
        order = await self._in_background(self._longest_first, texts)
        vectors = await super().aget_text_embedding_batch(
            [texts[index] for index in order], show_progress or self.show_progress_bar, **kwargs
        )
        return _restore(order, vectors)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> KoreanEmbedding:
        """Copy the settings and share the loaded model, which never changes."""
        return self.model_copy()

    def __reduce__(self) -> tuple[Callable[[], KoreanEmbedding], tuple[()]]:
        """Pickle the settings alone: another process loads the model itself."""
        settings = self.to_dict()
        del settings["class_name"]
        return partial(type(self), **settings), ()

    def _longest_first(self, texts: Sequence[str]) -> Sequence[int]:
        for index, text in enumerate(texts):
            check_text(text, f"texts[{index}]")
        if self.max_tokens is None and not self._encoder.pads:
            return range(len(texts))
        counts = self._encoder.token_counts([normalize(text) for text in texts], prompt=self.text_instruction or "")
        self._encoder.log_cut(counts)
        return sorted(range(len(texts)), key=lambda index: -counts[index])

    def _embed_one(self, text: str, *, is_query: bool) -> Embedding:
        prompt = (self.query_instruction if is_query else self.text_instruction) or ""
        if self.max_tokens is not None:
            self._encoder.log_cut(self._encoder.token_counts([text], prompt=prompt))
        return self._encoder.encode([text], prompt=prompt, is_query=is_query, batch_size=1)[0]

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed_one(check_query(query), is_query=True)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed_one(normalize(text), is_query=False)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        passages = [normalize(text) for text in texts]
        prompt = self.text_instruction or ""
        return self._encoder.encode(passages, prompt=prompt, is_query=False, batch_size=self.embed_batch_size)

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await self._in_background(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await self._in_background(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._in_background(self._get_text_embeddings, texts)

    async def _in_background(self, function: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
        """Run in the model's own thread: waiting calls queue there, and do not fill asyncio's shared threads."""
        return await asyncio.get_running_loop().run_in_executor(self._background, function, argument)

    def _embed(self, inputs: Sequence[object], prompt_name: str | None = None) -> list[Embedding]:  # noqa: ARG002
        """Refuse what HuggingFaceEmbedding sends here: images."""
        raise UnsuitableModel("KoreanEmbedding embeds text; for images take HuggingFaceEmbedding with a CLIP model")

    def _get_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return self._embed([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return self._embed([img_file_path])[0]


def _restore(order: Sequence[int], vectors: Sequence[Embedding]) -> list[Embedding]:
    return [vector for _, vector in sorted(zip(order, vectors, strict=True), key=itemgetter(0))]


def _refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a setting that there is not, which pydantic would ignore in silence.

    Raises:
        InvalidSetting: There is an unknown name; the message has the nearest known one.
    """
    for name in unknown:
        raise InvalidSetting(f"there is no setting {name!r}; {nearest(name, known)}")


def _check_settings(
    *, pooling: str | None, dtype: str, overflow: str, max_length: int | None, embed_batch_size: int, normalize: bool
) -> None:
    """Refuse values that no embedding can have.

    Raises:
        InvalidSetting: A value is out of range or not among the known ones.
    """
    if pooling is not None and pooling not in get_args(PoolingMode):
        raise InvalidSetting(f"there is no pooling {pooling!r}; {nearest(str(pooling), get_args(PoolingMode))}")
    if dtype not in get_args(DtypeName):
        raise InvalidSetting(f"there is no dtype {dtype!r}; {nearest(str(dtype), get_args(DtypeName))}")
    if overflow not in ("truncate", "window"):
        raise InvalidSetting(f"there is no overflow {overflow!r}; {nearest(str(overflow), ('truncate', 'window'))}")
    if max_length is not None and max_length < 1:
        raise InvalidSetting(f"max_length is a number of tokens, at least 1, or None; got {max_length}")
    if not 1 <= embed_batch_size <= LARGEST_BATCH:
        raise InvalidSetting(f"embed_batch_size must be 1-{LARGEST_BATCH}; got {embed_batch_size}")
    if not normalize:
        raise InvalidSetting("normalize=False is not possible: similarities here are inner products of unit vectors")
