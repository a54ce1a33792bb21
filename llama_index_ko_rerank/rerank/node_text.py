"""The text of a node that a model reads, and the way back from a place in it."""

from __future__ import annotations

import re

from llama_index.core.schema import MetadataMode, NodeWithScore

from llama_index_ko_rerank.rerank.windows import Span
from llama_index_ko_rerank.text.normalize import check_text, normalize

# Normalising changes nothing across white space, so that runs may be normalised one by one.
_RUN = re.compile(r"\s+|\S+")


def readable_text(found: NodeWithScore, mode: MetadataMode) -> str:
    """Return a node's text in its normal form.

    Raises:
        InvalidText: The text holds lone surrogates; the message names the node.
    """
    text = found.node.get_content(metadata_mode=mode)
    check_text(text, f"the text of node {found.node.node_id!r}")
    return normalize(text)


def span_in_node(found: NodeWithScore, mode: MetadataMode, span: Span | None) -> Span | None:
    """Find the stretch of a node's own text that a stretch of its readable text is.

    Args:
        found: The node.
        mode: Which metadata its readable text has.
        span: Offsets in `readable_text`.

    Returns:
        Offsets in the text of the node without metadata, whole words where normalising changed it; None where `span` is
        None, or holds metadata only, or where a template of the node's own hides its text.
    """
    if span is None:
        return None
    content, text = found.node.get_content(metadata_mode=mode), found.node.get_content(metadata_mode=MetadataMode.NONE)
    place = content.rfind(text.strip())
    if place < 0:
        return None
    moved = len(text) - len(text.lstrip()) - place
    start, end = (min(max(offset + moved, 0), len(text)) for offset in original_span(content, span))
    return (start, end) if start < end else None


def original_span(text: str, span: Span) -> Span:
    r"""Find what a stretch of a normalised text was before, in whole words where anything was changed.

    >>> text = "제\u200b목: ＡＢＣ"
    >>> normalize(text)[4:7], text[slice(*original_span(text, (4, 7)))]
    ('ABC', 'ＡＢＣ')
    """
    if normalize(text) == text:
        return span
    place = 0
    words = []
    for run in _RUN.finditer(text):
        length = len(normalize(run.group()))
        if place < span[1] and place + length > span[0]:
            words.append(run)
        place += length
    return (words[0].start(), words[-1].end()) if words else (0, 0)
