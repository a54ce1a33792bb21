"""Fast tokenizer of XLM-RoBERTa from its pieces and its normalisation table, as sentencepiece reads a text."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from llama_index_ko_rerank.models.e5_file import SpecialIds

_LEAF, _TERMINAL = 1 << 31, 1 << 8


def unigram_tokenizer(
    pieces: Sequence[tuple[str, float]], *, special: SpecialIds, normalisation: Mapping[str, str], max_tokens: int
) -> PreTrainedTokenizerFast:
    """Make the tokenizer: ``<s> text </s>``, a pair as ``<s> text </s></s> pair </s>``, all token types 0.

    A text is composed (NFC), since sentencepiece's rules compose decomposed Hangul and accents and the table lists
    single characters only; then each character is replaced by the table; then spaces are trimmed, merged to one, and
    written as ``▁`` before each word.

    Args:
        pieces: Unigram pieces with their log probabilities, in the order of their ids.
        special: Ids of the special tokens; ``<mask>`` is found by its name.
        normalisation: What takes the place of a character.
        max_tokens: The longest input in tokens, special tokens included.
    """
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=special.unk))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Precompiled(character_map(normalisation)),
            normalizers.Replace(Regex("^ +| +$"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:0 </s>",
        special_tokens=[("<s>", special.bos), ("</s>", special.eos)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated
        tokenizer_object=_GivenAway(tokenizer),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=max_tokens,
        model_input_names=["input_ids", "attention_mask"],
    )


class _GivenAway:
    """A tokenizer that its new owner need not copy: a copy of 250,000 pieces takes 0.8 s and 220 MB."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __deepcopy__(self, _memo: Any) -> Tokenizer:
        return self._tokenizer


def character_map(table: Mapping[str, str]) -> bytes:
    """Write a table of single characters as sentencepiece's compiled map, which `normalizers.Precompiled` reads.

    It is a double-array trie over the UTF-8 bytes of the keys and the values behind it, each ended by a zero byte.

    Source: Aoe, IEEE Transactions on Software Engineering 15(9), 1989; the units are laid out as in darts-clone.
    """
    values = bytearray()
    tree: dict[int, Any] = {}
    for key, value in table.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(values)
        values += value.encode() + b"\0"
    units = _double_array(tree)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(values)


def _double_array(tree: dict[int, Any]) -> list[int]:
    """Lay a trie out: the child under byte b of a node with base B is unit B ^ b; under byte 0 is the node's value.

    A node with children has 256 units to itself, and a node with a value only takes one that is left over, so that no
    two nodes have the same base.
    """
    units: dict[int, int] = {}
    ends: list[tuple[int, int]] = []
    inner = [(0, tree)]
    for block, (position, node) in enumerate(inner, start=1):
        base = 256 * block
        units[position] = units.get(position, 0) | (position ^ base) << 10 | (_TERMINAL if 0 in node else 0)
        for byte, child in node.items():
            if byte == 0:
                units[base] = _LEAF | child
                continue
            units[base ^ byte] = byte
            if child.keys() == {0}:
                ends.append((base ^ byte, child[0]))
            else:
                inner.append((base ^ byte, child))
    size = 256 * (len(inner) + 1)
    unused = (position for position in range(size) if position % 256 and position not in units)
    for position, value in ends:
        base = next(unused)
        units[position] |= (position ^ base) << 10 | _TERMINAL
        units[base] = _LEAF | value
    return [units.get(position, 0) for position in range(size)]
