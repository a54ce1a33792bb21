"""Put a Korean reranker into a LlamaIndex app that you have: one line more.

    python examples/drop_in_postprocessor.py

The app below is ordinary LlamaIndex: a `VectorStoreIndex` with its own store in memory, and a query engine. Both models
are those in the wheel, so nothing is downloaded. For better ones give names: `ko-rerank models` lists them.
"""

from __future__ import annotations

from llama_index.core import VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode

from llama_index_ko_rerank import CrossEncoderNodePostprocessor, KoreanEmbedding

# The rules of a town library that does not exist.
PASSAGES = [
    "이용 시간: 열람실은 아침 9시에 열고 밤 10시에 닫는다. 어린이실은 저녁 6시에 닫는다. 월요일과 설날에는 쉰다.",
    "대출: 책은 한 사람이 일곱 권까지 두 주 동안 빌릴 수 있다. 사전과 신문은 빌려주지 않는다. "
    "기한을 넘기면 하루에 한 권당 50원의 연체료를 내며, 다 낼 때까지 다른 책을 빌릴 수 없다.",
    "연체료는 카드로만 낸다.",
    "책의 기한은 두 주이다. 기한은 책 뒤의 종이에 찍혀 있다.",
    "예약: 다른 사람이 빌린 책은 세 권까지 예약할 수 있다. 책이 들어오면 문자로 알린다.",
    "회의실은 이틀 전까지 예약하며 한 번에 세 시간까지 쓴다.",
    "노트북은 신분증을 맡기고 하루 네 시간까지 빌린다. 밖으로 가지고 나갈 수 없다.",
    "잃어버린 책은 같은 책을 사서 내거나 책값을 낸다.",
    "회원증을 다시 만들 때에는 2천 원을 낸다. 회원증이 없으면 신분증을 보인다.",
    "복사기는 한 장에 40원이며 카드로만 낼 수 있다.",
]
# A passage that says little else than 연체료 looks nearest; the one that says how much it is says much else too.
QUESTION = "연체료는 하루에 얼마를 내나요?"


def main() -> None:
    """Ask the app the same question without the reranker and with it."""
    # The app as it was. Any LlamaIndex embedding, store and LLM may stand here.
    nodes = [TextNode(id_=f"rule-{number}", text=text) for number, text in enumerate(PASSAGES)]
    index = VectorStoreIndex(nodes, embed_model=KoreanEmbedding())
    before = index.as_query_engine(llm=MockLLM(), similarity_top_k=10)

    # The line that is added, and where it goes. `top_n` is how many passages the LLM reads.
    reranker = CrossEncoderNodePostprocessor(top_n=3)
    after = index.as_query_engine(llm=MockLLM(), similarity_top_k=10, node_postprocessors=[reranker])

    print(QUESTION)
    for title, engine in (("embedding alone", before), ("embedding, then reranker", after)):
        print(f"\n{title}")
        # `MockLLM` only repeats its prompt; what matters here are the passages that an LLM would be given.
        sources = engine.query(QUESTION).source_nodes
        for place, found in enumerate(sources[:3], start=1):
            print(f"  {place}. {found.score:.3f}  {found.node.get_content()}")
        print(f"  passages that the LLM reads: {len(sources)}")


if __name__ == "__main__":
    main()
