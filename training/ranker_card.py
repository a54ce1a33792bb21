"""The model card of the default ranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index_ko_rerank.rerank.ltr.model import LearningToRank
from training.ranker_data import CANDIDATES, FOLDS, PASSAGES, QUESTIONS, JudgedSet

CARD = """# The default ranker (`ltr.json`)

A network of one hidden layer over {features} features of how question and passage share words ({inputs} inputs,
{hidden} hidden units, {weights:,} weights, {size} KB). It reorders the first {candidates} passages of the two lexical
views, and `LearningToRankPostprocessor` uses it unless told otherwise. It holds no text.

Made by `python -m training.default_ranker`. Fitted on {questions:,} lists with an answer among the candidates;
{left} without one were left out. Tokenizers: {tokenizers}.

| set | questions | weight of one |
| --- | --- | --- |
{sets}

The made questions are {made:,} over each of two collections of {passages:,} passages, by the rules of
`training/synthetic_questions.py`, from statutes and technical documentation. Laws that the statute benchmark asks
about are left out, and KorQuAD's `test` half was read by nothing here.

## Figures
Hit@1 / MRR@10, ties by the order of retrieval. *Retrieval*: the two views, convex, nothing fitted. *Cross-validated*:
fitted on all sets less the fold of the measured document, {folds} folds. *Other sets*: fitted without any set of its
kind, so that it has seen neither this collection nor this way of asking. `sample validation` is measured once, at the
end: under *cross-validated* it has the shipped weights, which have seen none of its questions.

| set | n | retrieval | cross-validated | other sets |
| --- | --- | --- | --- | --- |
{figures}

## Limits
Questions that share no words with their passage are beyond it: it reorders what the lexical views find. The made
questions are of clumsy Korean. On the sample, most questions that fail have no answer among the candidates at all.
"""


def model_card(ranker: LearningToRank, sets: Sequence[JudgedSet], figures: Mapping[str, Any], *, size: int) -> str:
    """Write the model card."""
    pair = "{hit@1:.4f} / {mrr@10:.4f}"
    rows = (
        [name, f"{row['n']:,}", *(pair.format(**row[key]) for key in ("retrieval", "cross_validated", "other_sets"))]
        for name, row in figures.items()
    )
    return CARD.format(
        features=len(ranker.feature_names),
        inputs=len(ranker.mean),
        hidden=len(ranker.hidden_bias),
        weights=ranker.hidden_weights.size + 2 * ranker.hidden_bias.size,
        size=round(size / 1024),
        candidates=CANDIDATES,
        questions=ranker.notes["questions"],
        left=ranker.notes["left_out"],
        tokenizers="; ".join(ranker.tokenizers.values()),
        sets="\n".join(f"| {s.name} | {len(s.examples):,} | {s.examples[0].weight} |" for s in sets),
        made=QUESTIONS,
        passages=PASSAGES,
        folds=FOLDS,
        figures="\n".join("| " + " | ".join(row) + " |" for row in rows),
    )
