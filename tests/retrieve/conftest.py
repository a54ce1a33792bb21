"""A small office's rules, and nodes made of them."""

import pytest
from llama_index.core.schema import TextNode

RULES = {
    "leave": "연차는 사흘 전에 팀장에게 신청한다.",
    "trip": "출장비는 돌아온 날부터 이레 안에 청구한다.",
    "room": "회의실은 하루 전에 예약하고 다 쓰면 불을 끈다.",
    "meal": "점심 식대는 하루 만 원까지 회사가 낸다.",
    "laptop": "노트북은 입사한 날 총무팀에서 받는다.",
    "parking": "주차장은 방문객이 먼저 쓰고 남는 자리를 직원이 쓴다.",
}


@pytest.fixture
def rules():
    return dict(RULES)


@pytest.fixture
def make_nodes():
    """Make nodes of texts by id, with the same metadata each."""

    def make(texts, **metadata):
        return [TextNode(text=text, id_=identity, metadata=dict(metadata)) for identity, text in texts.items()]

    return make


@pytest.fixture
def nodes(make_nodes):
    return make_nodes(RULES)
