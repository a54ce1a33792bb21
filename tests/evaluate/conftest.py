"""The market hall and a searcher of it."""

import pytest

from llama_index_ko_rerank.data.dataset import RetrievalDataset
from tests.corpora.retrieval import TEXTS, WordOverlapRetriever, build_dataset


@pytest.fixture
def market() -> RetrievalDataset:
    return build_dataset(
        TEXTS,
        [
            ("사과 는 언제 파는가 아침 일찍", ("apple",)),
            ("생선 값 을 언제 내린다", ("fish",)),
            ("꽃 가게 는 언제 쉰다", ("flower",)),
            ("밀가루 냄새 가 나는 곳", ("bread",)),
        ],
    )


@pytest.fixture
def overlap(market: RetrievalDataset) -> WordOverlapRetriever:
    return WordOverlapRetriever([passage.text for passage in market.passages])
