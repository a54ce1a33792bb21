"""The measures of one ranking: pure functions over ids, with their formulas in sight."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

from llama_index_ko_rerank.errors import InvalidSetting

METRICS = ("hit@1", "hit@3", "hit@10", "mrr@10", "ndcg@10")
"""The measures of every report, in the order of its columns."""


def hit_at_k(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable], *, k: int) -> float:
    """Say whether any of the first k results is relevant: 1.0 or 0.0; its mean over questions is HitRate@k.

    Here and below, an id that comes again counts once: its later positions are passed over, and the ranks close up.

    Args:
        ranking: Ids of the results, best first; may be empty or shorter than `k`.
        relevant: Ids of everything that answers the question, at least one.
        k: How many results count, at least 1.

    Raises:
        InvalidSetting: `k` is below 1, or nothing is relevant.

    >>> hit_at_k(["a", "b", "c"], {"c"}, k=3), hit_at_k(["a", "b", "c"], {"c"}, k=2)
    (1.0, 0.0)
    """
    return float(any(_gains(ranking, relevant, k)))


def reciprocal_rank_at_k(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable], *, k: int) -> float:
    """Give 1 / rank of the first relevant result, rank counted from 1; 0.0 where none is in the first k.

    The mean over questions is MRR@k. Arguments and errors are those of `hit_at_k`.

    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.

    >>> reciprocal_rank_at_k(["a", "b", "c"], {"b", "c"}, k=10)
    0.5
    """
    gains = _gains(ranking, relevant, k)
    return 1.0 / (gains.index(True) + 1) if any(gains) else 0.0


def ndcg_at_k(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable], *, k: int) -> float:
    """Give the normalised discounted cumulative gain of the first k results, in 0-1.

    A relevant result at rank r, counted from 1, adds 1 / log2(r + 1); the sum is divided by that of the best ranking
    there could be, which has min(k, number of relevant ids) relevant results on top, found or not. Arguments and
    errors are those of `hit_at_k`.

    Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with binary gains and the discount of every rank, the first
    included, as in scikit-learn's `ndcg_score`.

    >>> round(ndcg_at_k(["a", "b", "c"], {"b"}, k=10), 4)
    0.6309
    """
    gained = sum(_discount(rank) for rank, gain in enumerate(_gains(ranking, relevant, k), start=1) if gain)
    ideal = sum(_discount(rank) for rank in range(1, min(k, len(relevant)) + 1))
    return gained / ideal


def recall_at_k(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable], *, k: int) -> float:
    """Give the share of the relevant ids that are among the first k results, in 0-1.

    With one relevant id it equals `hit_at_k`. Arguments and errors are those of `hit_at_k`.

    >>> recall_at_k(["a", "b", "c"], {"b", "z"}, k=3)
    0.5
    """
    return sum(_gains(ranking, relevant, k)) / len(relevant)


def measure(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable]) -> dict[str, float]:
    """Give every measure of `METRICS` for one question, each in 0-1.

    >>> measure(["a", "b"], {"a"})
    {'hit@1': 1.0, 'hit@3': 1.0, 'hit@10': 1.0, 'mrr@10': 1.0, 'ndcg@10': 1.0}
    """
    return {
        "hit@1": hit_at_k(ranking, relevant, k=1),
        "hit@3": hit_at_k(ranking, relevant, k=3),
        "hit@10": hit_at_k(ranking, relevant, k=10),
        "mrr@10": reciprocal_rank_at_k(ranking, relevant, k=10),
        "ndcg@10": ndcg_at_k(ranking, relevant, k=10),
    }


def _gains(ranking: Sequence[Hashable], relevant: AbstractSet[Hashable], k: int) -> list[bool]:
    """Say of each of the first k distinct ids whether it is relevant."""
    if k < 1:
        raise InvalidSetting(f"k={k} was asked for; a measure needs at least the first result, k=1")
    if not relevant:
        raise InvalidSetting("a question with no relevant id cannot be measured; leave it out")
    return [result in relevant for result in islice(dict.fromkeys(ranking), k)]


def _discount(rank: int) -> float:
    return 1.0 / math.log2(rank + 1)
