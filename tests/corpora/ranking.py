"""Ten passages about a town library, searched by the two lexical views, and weights fitted on them."""

from functools import lru_cache

import numpy as np
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.rerank.ltr.features import FeatureExtractor
from llama_index_ko_rerank.rerank.ltr.fit import RankingExample, fit_ranker
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever

TEXTS = {
    "opening": "솔빛도서관은 1987년에 문을 열었다. 첫 관장은 김하늘이다.",
    "loan": "책은 한 사람이 다섯 권까지 빌린다. 대출 기간은 14일이고 한 번 연장한다.",
    "late": "늦게 반납하면 하루에 100원을 낸다. 연체료는 자료실에서 낸다.",
    "hall": "열람실은 밤 열 시에 문을 닫는다. 시험 기간에는 자정까지 연다.",
    "card": "회원증은 신분증을 가져오면 그날 만든다. 잃어버리면 3000원을 낸다.",
    "club": "독서 모임은 매달 첫 토요일에 열린다. 강사는 시인 박노을이다.",
    "wifi": "무선 인터넷은 WiFi 이름 SOLBIT 을 고르면 된다. 암호는 안내대에 있다.",
    "park": "주차장은 30대가 들어간다. 두 시간까지 무료이다.",
    "donate": "책을 기증하려면 안내대에 가져온다. 기증한 책에는 이름을 적는다.",
    "kids": "어린이실은 신발을 벗고 들어간다. 동화 구연은 수요일에 한다.",
}
QUESTIONS = {
    "솔빛도서관은 언제 문을 열었나요?": "opening",
    "책을 며칠 동안 빌릴 수 있나요? 대출 기간": "loan",
    "연체료는 하루에 얼마인가요?": "late",
    "열람실은 몇 시에 닫나요?": "hall",
    "회원증을 잃어버리면 얼마를 내나요?": "card",
    "독서 모임 강사는 누구인가요?": "club",
    "WiFi 암호는 어디에 있나요?": "wifi",
    "책을 기증하려면 어디로 가져오나요?": "donate",
}


@lru_cache(maxsize=1)
def searcher():
    """The retriever of the library; tests must not change it."""
    nodes = [TextNode(id_=name, text=text) for name, text in TEXTS.items()]
    return KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=10)


def examples(extractor=None):
    """One example a question."""
    extractor = extractor or FeatureExtractor(searcher().lexical_index)
    made = []
    for question, answer in QUESTIONS.items():
        nodes = searcher().retrieve(question)
        relevant = tuple(place for place, node in enumerate(nodes) if node.node.node_id == answer)
        made.append(RankingExample(extractor.matrix(question, nodes), relevant))
    return made


@lru_cache(maxsize=1)
def fitted():
    """A ranker fitted on the library's questions."""
    identity = searcher().lexical_index.identity
    return fit_ranker(examples(), hidden=8, restarts=2, epochs=10, tokenizers=identity, notes={"made": "도서관"})


def column(extractor, matrix, name):
    """The values of one feature."""
    return matrix[:, extractor.feature_names.index(name)]


def random_matrix(rng, rows, columns):
    """Features of some candidates, from a generator."""
    return np.round(rng.random((rows, columns)), 3)
