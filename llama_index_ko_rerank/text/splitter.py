"""Documents to nodes: whole Korean sentences, counted in the embedding model's own tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.text.sentences import split_sentences

logger = logging.getLogger(__name__)

DEFAULT_CHUNK_TOKENS = 256
SMALLEST_CHUNK_TOKENS = 32

TokenCount = Callable[[str], int]


class KoreanSentenceSplitter(SentenceSplitter):
    """LlamaIndex's `SentenceSplitter` over Kiwi's sentences and a model's own tokens.

    Node ids are ``<document id>:<number>``, so that splitting and adding a document again replaces its nodes. A chunk
    leaves room for the metadata that is embedded with it, up to half of the chunk; longer metadata is logged, and the
    model may then cut the end of the text.
    """

    _largest_metadata_seen: int = PrivateAttr(default=0)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's JSON."""
        return "KoreanSentenceSplitter"

    def split_text_metadata_aware(self, text: str, metadata_str: str) -> list[str]:
        """Split a text into chunks that have room for this metadata."""
        metadata_tokens = self._token_size(metadata_str)
        room = self.chunk_size - metadata_tokens
        if room < self.chunk_size // 2:
            room = self.chunk_size - self.chunk_size // 2
            if metadata_tokens > self._largest_metadata_seen:
                self._largest_metadata_seen = metadata_tokens
                logger.warning(
                    "metadata of %d tokens leaves a text less than half of %d; list its long keys in "
                    "excluded_embed_metadata_keys and excluded_llm_metadata_keys",
                    metadata_tokens,
                    self.chunk_size,
                )
        return self._split_text(text, chunk_size=room)


def make_splitter(embed_model: BaseEmbedding, *, chunk_tokens: int | None = None) -> KoreanSentenceSplitter:
    """Make the splitter that fits an embedding model.

    Args:
        embed_model: Its tokenizer counts where it has one: a method ``token_count(text)``, or a Hugging Face tokenizer.
            Otherwise every character but white space counts as one token, which for Korean is more than a tokenizer
            would count, so that a chunk is rather too short than cut.
        chunk_tokens: The most tokens a chunk may have, special tokens and prompt included, at least 32; where None
            256, or what the model takes, if that is less.

    Raises:
        InvalidSetting: ``chunk_tokens`` is below 32, or more than the model takes.
    """
    limit = _max_tokens(embed_model)
    if chunk_tokens is None:
        chunk_tokens = DEFAULT_CHUNK_TOKENS if limit is None else min(DEFAULT_CHUNK_TOKENS, limit)
    elif chunk_tokens < SMALLEST_CHUNK_TOKENS or (limit is not None and chunk_tokens > limit):
        bounds = f"at least {SMALLEST_CHUNK_TOKENS}" + ("" if limit is None else f" and at most the model's {limit}")
        raise InvalidSetting(f"chunk_tokens is {bounds}, not {chunk_tokens}")
    count = _token_count(embed_model)
    around_each_text = count("")
    prompt_tokens = count(getattr(embed_model, "text_instruction", None) or "") - around_each_text
    chunk_size = max(1, chunk_tokens - around_each_text - prompt_tokens)
    # LlamaIndex only ever takes the length of what the tokenizer returns.
    return KoreanSentenceSplitter(
        chunk_size=chunk_size,
        chunk_overlap=chunk_size // 8,
        tokenizer=lambda text: range(max(0, count(text) - around_each_text)),  # type: ignore[call-arg]  # not a field
        chunking_tokenizer_fn=sentence_pieces,
        id_func=numbered_id,
    )


def sentence_pieces(text: str) -> list[str]:
    """Cut a text after each sentence and the white space behind it, so that the pieces joined are the text.

    >>> sentence_pieces("비가 온다. 우산을 챙기자.")
    ['비가 온다. ', '우산을 챙기자.']
    """
    starts = [0, *(sentence.start for sentence in split_sentences(text)[1:])]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def numbered_id(number: int, document: BaseNode) -> str:
    """Name the node of a document by its number, from 0."""
    return f"{document.node_id}:{number}"


def _max_tokens(embed_model: BaseEmbedding) -> int | None:
    limits = (getattr(embed_model, name, None) for name in ("max_tokens", "max_length"))
    return next((limit for limit in limits if isinstance(limit, int)), None)


def _token_count(embed_model: BaseEmbedding) -> TokenCount:
    own = getattr(embed_model, "token_count", None)
    if callable(own):
        return lambda text: int(own(text))
    for holder in (embed_model, getattr(embed_model, "_model", None)):
        encode = getattr(getattr(holder, "tokenizer", None), "encode", None)
        if callable(encode):
            return lambda text: _length(encode(text))
    logger.info("%s shows no tokenizer; characters are counted instead of tokens", type(embed_model).__name__)
    return lambda text: len("".join(text.split()))


def _length(encoded: Any) -> int:
    """Count the ids of what ``encode`` gave: a list from transformers, an object with ``ids`` from tokenizers."""
    return len(getattr(encoded, "ids", encoded))
