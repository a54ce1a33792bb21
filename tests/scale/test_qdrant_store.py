import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters
from qdrant_client import QdrantClient, models

from llama_index_ko_rerank.errors import (
    DamagedIndex,
    DimensionMismatch,
    DiskFull,
    DuplicateNodeId,
    EmptyCorpus,
    IndexExists,
    IndexNotFound,
    IndexReadOnly,
    IndexTooNew,
    InvalidNode,
    InvalidSetting,
    ModelMismatch,
    QdrantUnavailable,
    StoreError,
    UnsupportedQuery,
)
from llama_index_ko_rerank.scale.qdrant import (
    KoreanQdrantRetriever,
    KoreanQdrantVectorStore,
    build_qdrant_index,
    open_qdrant_index,
)
from tests.corpora.qdrant import BigramEmbedding, notices


@pytest.fixture
def client():
    return QdrantClient(":memory:")


@pytest.fixture
def build(client):
    def run(nodes=None, **settings):
        settings.setdefault("embed_model", BigramEmbedding())
        return build_qdrant_index(notices() if nodes is None else nodes, client, "notices", **settings)

    return run


def ids(store):
    return sorted(node.node_id for node in store.nodes())


def with_vectors(nodes):
    model = BigramEmbedding()
    return [node.model_copy(update={"embedding": model._vector(node.text)}) for node in nodes]


def test_nodes_come_back_as_they_were(build):
    store = build().vector_store
    assert store.count == 40
    by_id = {node.node_id: node for node in store.nodes()}
    assert all(by_id[node.node_id] == node for node in notices())
    assert [node.node_id for node in store.get_nodes(["보건소:1", "없음", "도서관:0"])] == ["보건소:1", "도서관:0"]
    assert store.get_nodes([]) == []


def test_adding_again_replaces_and_duplicates_nothing(build):
    index = build()
    store = index.vector_store
    changed = notices()[0].model_copy(update={"text": "도서관은 이제 금요일에 쉰다."})
    store.add(with_vectors([changed, *notices()[1:]]))
    store.add(with_vectors([changed]))
    assert ids(store) == sorted(node.node_id for node in notices())
    (best, *_) = KoreanQdrantRetriever(index).retrieve("금요일")
    assert best.node == changed


def test_a_document_is_deleted_with_all_its_nodes(build):
    index = build()
    index.delete_ref_doc("도서관")
    index.delete_ref_doc("없는 문서")
    assert index.vector_store.count == 35
    assert all(hit.node.ref_doc_id != "도서관" for hit in KoreanQdrantRetriever(index).retrieve("도서관 월요일"))


def test_nodes_are_deleted_by_id_and_by_metadata(build):
    store = build().vector_store
    third = MetadataFilters(filters=[MetadataFilter(key="번호", operator=FilterOperator.EQ, value=3)])
    store.delete_nodes(["도서관:0", "도서관:3", "없음"], filters=third)
    assert store.count == 39
    store.delete_nodes(filters=third)
    assert store.count == 32
    store.delete_nodes([])
    assert store.count == 32
    with pytest.raises(InvalidSetting, match="ids or a filter"):
        store.delete_nodes()


def test_documents_are_split_inserted_and_refreshed(build):
    index = build([Document(text="연차는 사흘 전에 신청한다.", id_="휴가")])
    index.insert(Document(text="출장비는 이레 안에 청구한다.", id_="출장"))
    changes = [
        Document(text="연차는 사흘 전에 신청한다.", id_="휴가"),
        Document(text="출장비는 열흘 안에 청구한다.", id_="출장"),
    ]
    assert index.refresh_ref_docs(changes) == [False, True]
    assert ids(index.vector_store) == ["출장:0", "휴가:0"]
    assert [hit.node.text for hit in KoreanQdrantRetriever(index).retrieve("열흘")] == ["출장비는 열흘 안에 청구한다."]


def test_an_index_in_a_folder_is_there_after_the_client_is_closed(tmp_path):
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    build_qdrant_index(notices(), client, "notices", embed_model=BigramEmbedding())
    client.close()
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    index = open_qdrant_index(client, "notices", embed_model=BigramEmbedding())
    assert KoreanQdrantRetriever(index).retrieve("수영장 이용료")[0].node.node_id == "수영장:2"
    client.close()
    with pytest.raises(QdrantUnavailable, match="closed"):
        index.vector_store.get_nodes()


def test_an_index_is_replaced_only_where_that_is_said_and_in_one_step(build, client):
    old = build().vector_store
    with pytest.raises(IndexExists, match="overwrite=True"):
        build()
    new = build(notices()[:3], overwrite=True).vector_store
    assert new.count == 3
    assert len(client.get_collections().collections) == 1
    with pytest.raises(IndexNotFound, match="open it again"):
        list(old.nodes())


class FailingEmbedding(BigramEmbedding):
    """Fails at a text that asks for it."""

    def _get_text_embedding(self, text):
        if "실패" in text:
            raise RuntimeError("out of memory")
        return super()._get_text_embedding(text)


def test_a_build_that_fails_leaves_the_old_index_and_nothing_else(build, client, monkeypatch):
    monkeypatch.setattr("llama_index_ko_rerank.scale.qdrant.index._BATCH", 8)
    build()
    nodes = [*notices()[:20], TextNode(text="실패", id_="실패")]
    with pytest.raises(RuntimeError, match="out of memory"):
        build(nodes, overwrite=True, embed_model=FailingEmbedding())
    assert open_qdrant_index(client, "notices", embed_model=BigramEmbedding()).vector_store.count == 40
    assert len(client.get_collections().collections) == 1


def test_what_a_killed_build_left_cannot_be_opened_and_goes_with_the_next_build(build, client):
    manifest = build().vector_store.manifest
    metadata = manifest.to_metadata()
    metadata["ko_rerank"]["complete"] = False
    left = "notices.0123abcd"
    client.create_collection(left, vectors_config={}, metadata=metadata)
    with pytest.raises(IndexNotFound, match="interrupted"):
        KoreanQdrantVectorStore(client, left)
    build(overwrite=True)
    assert left not in {one.name for one in client.get_collections().collections}


def test_another_model_is_refused_and_the_message_says_in_what_it_differs(build, client):
    build()
    with pytest.raises(ModelMismatch, match=r"'model_name': 'bigrams'.*'other'"):
        open_qdrant_index(client, "notices", embed_model=BigramEmbedding(model_name="other"))


def test_another_tokenizer_is_refused(build, client, monkeypatch):
    build()
    monkeypatch.setattr("llama_index_ko_rerank.text.tokenizers.kiwi_version", lambda: "0.1")
    with pytest.raises(ModelMismatch, match=r"kiwi=0\.1"):
        open_qdrant_index(client, "notices", embed_model=BigramEmbedding())


def test_vectors_of_another_length_are_refused_before_anything_is_written(build):
    index = build()
    node = TextNode(text="새 글", id_="새 글", embedding=[1.0, 2.0])
    with pytest.raises(DimensionMismatch, match=r"48.*2"):
        index.vector_store.add([node])
    index._embed_model = BigramEmbedding(dimension=5)
    with pytest.raises(DimensionMismatch, match=r"48.*5"):
        index.as_retriever().retrieve("새 글")
    assert index.vector_store.count == 40


def test_what_cannot_come_back_is_refused_before_anything_is_written(build, client):
    with pytest.raises(EmptyCorpus):
        build([])
    with pytest.raises(DuplicateNodeId):
        build([*notices(), notices()[0]])
    store = build().vector_store
    bad = TextNode(text="글", id_="나쁜 글", metadata={"x": {1}}, embedding=[1.0] * 48)
    with pytest.raises(InvalidNode, match="나쁜 글"):
        store.add([*with_vectors(notices()[:1]), bad])
    assert store.count == 40
    assert store.add([]) == []


def test_a_collection_that_something_else_made_is_left_alone(client, build):
    client.create_collection("notices", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    with pytest.raises(IndexExists, match="did not make"):
        build(overwrite=True)
    with pytest.raises(DamagedIndex, match="build_qdrant_index"):
        KoreanQdrantVectorStore(client, "notices")
    client.update_collection("notices", metadata={"ko_rerank": {"format": 99}})
    with pytest.raises(IndexTooNew):
        KoreanQdrantVectorStore(client, "notices")


def test_a_point_that_was_changed_is_noticed(build):
    store = build().vector_store
    collection = store.collection
    everything = models.Filter(must=[])
    collection.client.set_payload(collection.name, {"node": {"text": "다른 글"}}, points=everything)
    with pytest.raises(DamagedIndex):
        list(store.nodes())


def test_other_query_modes_and_options_are_refused(build):
    index = build()
    with pytest.raises(UnsupportedQuery):
        index.as_retriever(vector_store_query_mode="hybrid").retrieve("도서관")
    with pytest.raises(InvalidSetting):
        index.vector_store.add([], batch_size=3)


def test_a_missing_index_and_a_server_that_is_down_are_told_apart(client):
    with pytest.raises(IndexNotFound, match="'notices'"):
        open_qdrant_index(client, "notices", embed_model=BigramEmbedding())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    down = QdrantClient(url=f"http://127.0.0.1:{port}", check_compatibility=False, timeout=2)
    with pytest.raises(QdrantUnavailable, match="does not answer"):
        open_qdrant_index(down, "notices", embed_model=BigramEmbedding())
    with pytest.raises(ConnectionError):
        build_qdrant_index(notices(), down, "notices", embed_model=BigramEmbedding())


@pytest.fixture
def refusing():
    """A server on loopback that answers every request with one status and body."""

    class Handler(BaseHTTPRequestHandler):
        status, body = 500, b"{}"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    client = QdrantClient(url=f"http://127.0.0.1:{server.server_port}", check_compatibility=False)

    def answer(status, body=b"{}"):
        Handler.status, Handler.body = status, body
        return client

    yield answer
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"key", IndexReadOnly),
        (403, b"forbidden", IndexReadOnly),
        (404, b"Not found", IndexNotFound),
        (429, b"slow down", QdrantUnavailable),
        (503, b"starting", QdrantUnavailable),
        (500, b"No space left on device", DiskFull),
        (400, b"Wrong input", StoreError),
        (200, b"<html>a proxy</html>", QdrantUnavailable),
    ],
)
def test_what_a_server_refuses_is_an_error_of_this_package(refusing, status, body, kind):
    with pytest.raises(kind) as caught:
        KoreanQdrantVectorStore(refusing(status, body), "notices")
    assert type(caught.value) is kind


def test_a_write_that_stops_half_way_says_how_far_it_came_and_can_be_repeated(build, monkeypatch):
    monkeypatch.setattr("llama_index_ko_rerank.scale.qdrant.client._POINTS_A_REQUEST", 2)
    store = build(notices()[:1]).vector_store
    client, sent = store.client, []

    class Flaky:
        """Passes everything on, and loses the connection at the third write."""

        def __getattr__(self, name):
            return getattr(client, name)

        def upsert(self, *given, **settings):
            sent.append(given)
            if len(sent) == 3:
                raise ConnectionError("reset by peer")
            return client.upsert(*given, **settings)

    store.collection.client = Flaky()
    with pytest.raises(QdrantUnavailable, match=r"write 10 nodes .*\(4 were written; add all of them again"):
        store.add(with_vectors(notices()[:10]))
    assert store.count == 4
    store.add(with_vectors(notices()[:10]))
    assert store.count == 10
