"""One small collection for the room: a few passages of our own, searched by words and by the shipped embedding."""

from __future__ import annotations

import pytest
from llama_index.core.schema import TextNode

from llama_index_ko_rerank.app.components import SearchComponents, open_components
from llama_index_ko_rerank.collection import CollectionSettings, index_folder, write_settings
from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.store import build_index

HOSTILE = "<script>document.title='실행됨'</script><img src=x onerror=\"document.title='실행됨'\">"
PASSAGES = {
    "병가 규정": "직원은 해마다 병가를 60일까지 쓸 수 있다. 나흘 넘게 쉬면 의사의 진단서를 내야 한다.",
    "연차 규정": "연차는 15일이다. 쓰지 못한 연차는 이듬해 3월까지 쓸 수 있다.",
    "배편 안내": "물나래호는 하루 네 번 떠난다. 자전거는 접이식만 무료로 실어 준다.",
    "도서관 안내": "책은 한 사람이 다섯 권까지 3주 동안 빌린다.",
    "위험한 <b>글</b>": f"페이지 공격 시험 글이다. {HOSTILE} ${{document.title='실행됨'}} {{{{constructor}}}}",
}


@pytest.fixture(scope="session")
def collection_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "회사 문서"
    nodes = [
        TextNode(id_=f"n{number}", text=text, metadata={"title": title}, excluded_embed_metadata_keys=["title"])
        for number, (title, text) in enumerate(PASSAGES.items())
    ]
    build_index(nodes, index_folder(folder), embed_model=KoreanEmbedding())
    write_settings(folder, CollectionSettings("ko-static"))
    return folder


@pytest.fixture(scope="session")
def parts(collection_folder) -> SearchComponents:
    return open_components(collection_folder)
