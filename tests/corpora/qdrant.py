"""A town's notices, an embedding that reads them, and questions about them."""

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

import tests.bigram_embedding as bigram_embedding

_PLACES = ("도서관", "수영장", "주민센터", "시립 미술관", "어린이집", "보건소", "자전거 대여소", "청소년 수련관")
_DEEDS = (
    "{}은 월요일마다 쉬고 다른 날은 아침 아홉 시에 문을 연다.",
    "{}에서 빌린 물건은 이레 안에 돌려주어야 하며 늦으면 연체료를 낸다.",
    "{} 이용료는 어른이 이천 원이고 예순다섯 살이 넘으면 받지 않는다.",
    "{}의 강좌는 매달 스무날까지 누리집에서 신청한다.",
    "{} 주차장은 한 시간에 오백 원이며 장애인 차량은 반값이다. 저녁 열 시에 닫는다.",
)

QUESTIONS = (
    "도서관은 무슨 요일에 쉬나요?",
    "수영장 이용료가 얼마예요?",
    "미술관 강좌는 언제까지 신청하나",
    "보건소 주차장 요금",
    "빌린 자전거를 늦게 돌려주면 연체료를 내나요",
    "어린이집 누리집",
    "저녁에 닫는 주차장",
    "청소년수련관강좌신청",
    "예순다섯 살이 넘으면 이용료를 받나요?",
    "xylophone",
)


class BigramEmbedding(bigram_embedding.BigramEmbedding):
    """The one of all tests, in fewer numbers."""

    dimension: int = 48


def notices():
    """Forty notices, five a place; the place is their document."""
    return [
        TextNode(
            id_=f"{place}:{number}",
            text=deed.format(place),
            metadata={"곳": place, "번호": number},
            excluded_embed_metadata_keys=["곳", "번호"],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=place, hash=f"hash of {place}")},
        )
        for place in _PLACES
        for number, deed in enumerate(_DEEDS)
    ]


def ids_and_scores(results):
    return [result.node.node_id for result in results], [result.score for result in results]
