"""What the best step of a cross-encoder is chosen by: the order it gives to what a search really found."""

from __future__ import annotations

import numpy as np
from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.evaluate.metrics import reciprocal_rank_at_k
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.train.inference import pair_logits
from llama_index_ko_rerank.train.probes import MRR, ProbeSettings, drawn_collection, drawn_questions
from llama_index_ko_rerank.train.rows import QuestionRows


class FirstStageProbe:
    """MRR@10 of validation questions after reranking the first candidates of the two lexical views.

    No context is put among the candidates: where the search missed it the question counts 0, so that the figure is
    that of the two stages together. Equal logits keep the search's order.
    """

    metric = MRR

    def __init__(self, rows: QuestionRows, *, seed: int, settings: ProbeSettings | None = None) -> None:
        settings = settings or ProbeSettings()
        questions, answers = drawn_questions(rows, settings.rerank_questions, seed)
        passages = drawn_collection(rows, answers, settings.search_passages, seed)
        index = LexicalIndex("both")
        index.add([str(place) for place in range(len(passages))], passages)
        self.lists: list[tuple[str, list[str], set[int]]] = []
        for question, own in zip(questions, answers, strict=True):
            hits = index.search(question, settings.first_stage_candidates)
            candidates = [passages[hit.position] for hit in hits]
            self.lists.append((question, candidates, {place for place, text in enumerate(candidates) if text in own}))
        self._batch_size = settings.batch_size
        found = sum(bool(relevant) for _, _, relevant in self.lists)
        self.note = (
            f"In validation it reorders the first {settings.first_stage_candidates} of BM25 (morphemes and bigrams) "
            f"over {len(passages):,} passages, which hold a right one for {found} of {len(self.lists)} questions; the "
            f"others count 0. BM25's own order scores {self.first_stage_value:.4f}."
        )

    @property
    def first_stage_value(self) -> float:
        """The MRR@10 of the candidates as the search ordered them."""
        return float(np.mean([_reciprocal_rank(list(range(len(texts))), right) for _, texts, right in self.lists]))

    def value(self, model: CrossEncoder) -> float:
        """Score every candidate, order each list, and average 1 / rank of the first right one."""
        pairs = [(question, text) for question, candidates, _ in self.lists for text in candidates]
        logits = iter(pair_logits(model, pairs, self._batch_size).tolist() if pairs else ())
        ranks = []
        for _, candidates, relevant in self.lists:
            order = np.argsort([-next(logits) for _ in candidates], kind="stable").tolist()
            ranks.append(_reciprocal_rank(order, relevant))
        return float(np.mean(ranks))


def _reciprocal_rank(order: list[int], relevant: set[int]) -> float:
    """Give 1 / rank of the first right candidate among ten, and 0 where the search found none."""
    return reciprocal_rank_at_k(order, relevant, k=10) if relevant else 0.0
