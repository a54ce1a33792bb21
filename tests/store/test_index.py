import asyncio
import subprocess
import sys
import threading

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.schema import Document, ImageNode, IndexNode, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from llama_index_ko_rerank.errors import (
    DamagedIndex,
    DuplicateNodeId,
    EmptyCorpus,
    IndexExists,
    IndexNotFound,
    InvalidNode,
    InvalidSetting,
    InvalidText,
    InvalidVector,
    ModelMismatch,
)
from llama_index_ko_rerank.store import build_index, open_index
from llama_index_ko_rerank.store.settings import IndexSettings
from llama_index_ko_rerank.text.splitter import make_splitter

TEXTS = {
    "강": "한강은 서울을 지나 서해로 흐르는 강입니다.",
    "산": "설악산은 강원도에 있는 높은 산입니다.",
    "섬": "울릉도는 동해에 있는 화산섬입니다.",
}


@pytest.fixture
def documents():
    return [Document(id_=name, text=text, metadata={"이름": name}) for name, text in TEXTS.items()]


@pytest.fixture
def index(documents, folder, embed_model):
    built = build_index(documents, folder, embed_model=embed_model)
    yield built
    built.vector_store.close()


def best(index, question):
    return index.as_retriever(similarity_top_k=1).retrieve(question)[0].node.ref_doc_id


def test_what_was_built_is_a_normal_index_that_finds_the_right_document(index):
    assert isinstance(index, VectorStoreIndex)
    assert best(index, "한강은 어디로 흐르나요?") == "강"
    assert best(index, "설악산은 어디에 있나요?") == "산"


def test_what_was_built_opens_in_another_session(index, folder, embed_model):
    index.vector_store.close()
    opened = open_index(folder, embed_model=embed_model)
    assert best(opened, "울릉도는 어떤 섬인가요?") == "섬"
    opened.vector_store.close()


def test_documents_are_inserted_updated_and_deleted(index):
    index.insert(Document(id_="들", text="김제평야는 전라북도에 있는 넓은 들입니다."))
    assert best(index, "김제평야는 넓은 들인가요?") == "들"
    index.insert(Document(id_="들", text="철원평야는 강원도에 있는 넓은 들입니다."))
    assert index.vector_store.count == 4
    index.delete_ref_doc("강")
    assert index.vector_store.count == 3
    assert best(index, "한강은 어디로 흐르나요?") != "강"
    index.update_ref_doc(Document(id_="산", text="지리산은 남쪽에 있는 산입니다."))
    assert best(index, "지리산은 남쪽에 있나요?") == "산"


def test_refresh_embeds_only_what_changed_also_in_a_later_session(index, documents, folder, make_embedding):
    embedded = []

    class Counting(make_embedding):
        def _get_text_embedding(self, text):
            embedded.append(text)
            return super()._get_text_embedding(text)

    index.vector_store.close()
    opened = open_index(folder, embed_model=Counting())
    documents[1] = Document(id_="산", text="지리산은 남쪽에 있는 높은 산입니다.", metadata={"이름": "산"})
    documents.append(Document(id_="들", text="김제평야는 넓은 들입니다."))
    assert opened.refresh_ref_docs(documents) == [False, True, False, True]
    assert len(embedded) == 2
    assert opened.refresh_ref_docs(documents) == [False] * 4
    assert best(opened, "지리산은 남쪽에 있나요?") == "산"
    opened.delete_ref_doc("들", delete_from_docstore=True)
    assert asyncio.run(opened.arefresh_ref_docs(documents)) == [False, False, False, True]
    assert opened.vector_store.count == 4
    opened.vector_store.close()


def test_a_document_that_became_shorter_leaves_no_nodes_behind(folder, embed_model):
    story = " ".join(f"{number}번째 손님이 강가를 걸었습니다." for number in range(40))
    build_index(
        [Document(id_="하나", text=story)], folder, embed_model=embed_model, chunk_tokens=40
    ).vector_store.close()
    opened = open_index(folder, embed_model=embed_model)
    assert opened.refresh_ref_docs([Document(id_="하나", text="손님이 왔습니다.")]) == [True]
    assert [node.text for node in opened.vector_store.nodes()] == ["손님이 왔습니다."]
    opened.vector_store.close()


def test_vector_dtype_and_index_settings_are_recorded(documents, folder, embed_model):
    settings = IndexSettings(kind="ivf")
    index = build_index(documents, folder, embed_model=embed_model, vector_dtype="float16", index_settings=settings)
    assert best(index, "울릉도는 어떤 섬인가요?") == "섬"
    index.vector_store.close()
    assert [file.suffix for file in folder.glob("vectors.*")] == [".faiss"]
    again = open_index(folder, embed_model=embed_model, index_settings=IndexSettings(kind="flat"))
    with again.vector_store.client.read() as reader:
        assert (reader.manifest.vector_dtype, reader.manifest.index_settings.kind) == ("float16", "flat")
    again.vector_store.close()
    with pytest.raises(InvalidSetting, match="float64"):
        build_index(documents, folder / "다른", embed_model=embed_model, vector_dtype="float64")
    assert not (folder / "다른").exists()


def pipeline(store, embed_model, strategy):
    return IngestionPipeline(
        transformations=[make_splitter(embed_model), embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )


def test_an_ingestion_pipeline_upserts_into_the_store(documents, store, embed_model):
    upserting = pipeline(store, embed_model, DocstoreStrategy.UPSERTS)
    assert len(upserting.run(documents=documents)) == 3
    assert len(upserting.run(documents=documents)) == 0
    changed = Document(id_="산", text="지리산은 남쪽에 있는 산입니다.")
    assert len(upserting.run(documents=[changed])) == 1
    assert store.count == 3
    assert [node.text for node in store.nodes() if node.ref_doc_id == "산"] == [changed.text]


def test_an_ingestion_pipeline_deletes_documents_that_are_gone(documents, store, embed_model):
    deleting = pipeline(store, embed_model, DocstoreStrategy.UPSERTS_AND_DELETE)
    deleting.run(documents=documents)
    deleting.run(documents=documents[:1])
    assert {node.ref_doc_id for node in store.nodes()} == {"강"}


def test_a_retriever_with_filters_finds_as_many_as_were_asked_for(folder, embed_model):
    nodes = [
        TextNode(id_=f"n{number}", text=f"{number}번째 강의 이야기", metadata={"갈래": "강" if number % 5 else "산"})
        for number in range(60)
    ]
    index = build_index(nodes, folder, embed_model=embed_model)
    filters = MetadataFilters(filters=[MetadataFilter(key="갈래", value="산")])
    found = index.as_retriever(similarity_top_k=12, filters=filters).retrieve("3번째 강의 이야기")
    assert {one.node.metadata["갈래"] for one in found} == {"산"}
    assert len(found) == 12
    index.vector_store.close()


def test_the_asynchronous_retriever_gives_the_same(index):
    retriever = index.as_retriever(similarity_top_k=3)
    question = "한강은 어디로 흐르나요?"
    ids = [[found.node_id for found in retriever.retrieve(question)]]
    ids.append([found.node_id for found in asyncio.run(retriever.aretrieve(question))])
    assert ids[0] == ids[1]


def test_a_query_engine_answers_with_sources(index):
    response = index.as_query_engine(llm=MockLLM(), similarity_top_k=1).query("울릉도는 어떤 섬인가요?")
    assert [source.node.ref_doc_id for source in response.source_nodes] == ["섬"]


def test_nodes_are_kept_as_they_are(folder, embed_model):
    nodes = [TextNode(id_=name, text=text * 30, metadata={"쪽": 1}) for name, text in TEXTS.items()]
    index = build_index(nodes, folder, embed_model=embed_model)
    assert list(index.vector_store.nodes()) == nodes
    assert all(node.embedding is None for node in nodes)
    index.vector_store.close()


def test_documents_and_nodes_keep_their_order(folder, embed_model):
    items = [TextNode(id_="n1", text="첫째 글"), Document(id_="d1", text="둘째 글"), TextNode(id_="n2", text="셋째 글")]
    index = build_index(items, folder, embed_model=embed_model)
    assert [node.node_id for node in index.vector_store.nodes()] == ["n1", "d1:0", "n2"]
    index.vector_store.close()


def test_embeddings_that_nodes_carry_are_used(folder, embed_model):
    vector = [1.0] + [0.0] * 63
    index = build_index([TextNode(id_="n1", text="글", embedding=vector)], folder, embed_model=embed_model)
    result = index.vector_store.client
    with result.read() as reader:
        assert next(reader.vector_blocks(0))[1][0].tolist() == vector
    index.vector_store.close()


def test_nodes_that_refer_to_other_things_are_found_too(folder, embed_model):
    nodes = [IndexNode(id_="표", text="인구를 적은 표", index_id="표 1"), ImageNode(id_="그림", text="강을 그린 그림")]
    index = build_index([*nodes, TextNode(id_="글", text="산을 적은 글")], folder, embed_model=embed_model)
    found = index.as_retriever(similarity_top_k=3).retrieve("인구를 적은 표")
    assert found[0].node_id == "표"
    assert {type(one.node) for one in found} == {IndexNode, ImageNode, TextNode}
    index.vector_store.close()


@pytest.mark.parametrize("nothing", [[], [Document(text="")], [TextNode(text=" \n\t")], [Document(text="\u3000")]])
def test_nothing_to_index_is_an_empty_corpus(nothing, folder, embed_model):
    with pytest.raises(EmptyCorpus):
        build_index(nothing, folder, embed_model=embed_model)
    assert not folder.exists()


def test_blank_documents_among_others_are_counted_and_left_out(documents, folder, embed_model, caplog):
    index = build_index([*documents, Document(text="  ")], folder, embed_model=embed_model)
    assert index.vector_store.count == 3
    assert "1 of 4 documents and nodes have no text" in caplog.text
    index.vector_store.close()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Document(id_="강", text="같은 이름의 문서"), DuplicateNodeId),
        (Document(text="한\ud800글"), InvalidText),
        (TextNode(text="글", metadata={"때": {1}}), InvalidNode),
        ("그냥 글", InvalidNode),
    ],
)
def test_bad_input_is_refused_before_anything_is_embedded_or_written(documents, folder, make_embedding, bad, error):
    class Refusing(make_embedding):
        def _get_text_embedding(self, text):
            raise AssertionError("embedded")

    with pytest.raises(error):
        build_index([*documents, bad], folder, embed_model=Refusing())
    assert not folder.exists()


def test_an_index_that_is_there_is_not_overwritten_unasked(index, documents, folder, embed_model):
    with pytest.raises(IndexExists, match="overwrite=True"):
        build_index(documents[:1], folder, embed_model=embed_model)
    assert index.vector_store.count == 3


def test_overwrite_replaces_the_index_under_those_who_have_it_open(index, folder, embed_model):
    assert best(index, "한강은 어디로 흐르나요?") == "강"
    again = build_index([Document(id_="새", text="새 글입니다.")], folder, embed_model=embed_model, overwrite=True)
    assert best(index, "한강은 어디로 흐르나요?") == "새"
    assert again.vector_store.count == index.vector_store.count == 1
    again.vector_store.close()


def test_overwrite_with_another_model_is_noticed_by_those_who_have_it_open(index, documents, folder, make_embedding):
    other = make_embedding(model_name="다른 모형", dimension=32)
    again = build_index(documents, folder, embed_model=other, overwrite=True)
    assert best(again, "한강은 어디로 흐르나요?") == "강"
    with pytest.raises(ModelMismatch, match=r"'다른 모형'.*'bigrams'"):
        best(index, "한강은 어디로 흐르나요?")
    with pytest.raises(ModelMismatch):
        index.vector_store.add([TextNode(text="글", embedding=[1.0] * 32)])
    again.vector_store.close()


def test_another_model_cannot_open_it(index, folder, make_embedding):
    with pytest.raises(ModelMismatch, match=r"built with 'bigrams' and is opened with '다른 모형'"):
        open_index(folder, embed_model=make_embedding(model_name="다른 모형"))


def test_there_is_nothing_to_open_where_nothing_was_built(tmp_path, embed_model):
    with pytest.raises(IndexNotFound, match="build_index"):
        open_index(tmp_path, embed_model=embed_model)
    assert not list(tmp_path.iterdir())


def test_a_damaged_index_is_put_aside_by_overwrite_only(index, documents, folder, embed_model, caplog):
    index.vector_store.close()
    file = folder / "nodes.sqlite3"
    file.write_bytes(file.read_bytes()[:20000])
    for attempt in (open_index, lambda path, embed_model: build_index(documents, path, embed_model=embed_model)):
        with pytest.raises(DamagedIndex):
            attempt(folder, embed_model=embed_model)
    again = build_index(documents, folder, embed_model=embed_model, overwrite=True)
    assert best(again, "한강은 어디로 흐르나요?") == "강"
    assert (folder / "damaged.nodes.sqlite3").stat().st_size == 20000
    assert "damaged.nodes.sqlite3" in caplog.text
    again.vector_store.close()


class Broken(Exception):
    pass


def breaking(make_embedding, after):
    class Breaking(make_embedding):
        def _get_text_embedding(self, text):
            if after in text:
                raise Broken
            return super()._get_text_embedding(text)

    return Breaking()


def test_a_first_build_that_fails_leaves_nothing_that_opens(documents, folder, make_embedding, embed_model):
    with pytest.raises(Broken):
        build_index(documents, folder, embed_model=breaking(make_embedding, "울릉도"))
    with pytest.raises(IndexNotFound, match="interrupted"):
        open_index(folder, embed_model=embed_model)
    index = build_index(documents, folder, embed_model=embed_model)
    assert index.vector_store.count == 3
    index.vector_store.close()


def test_an_overwrite_that_fails_leaves_the_old_index(index, documents, folder, make_embedding):
    with pytest.raises(Broken):
        build_index(documents, folder, embed_model=breaking(make_embedding, "울릉도"), overwrite=True)
    assert index.vector_store.count == 3
    assert best(index, "울릉도는 어떤 섬인가요?") == "섬"


def test_a_model_that_makes_nan_builds_nothing(documents, folder, make_embedding):
    class Bad(make_embedding):
        def _get_text_embedding(self, text):
            return [float("nan")] * 64

    with pytest.raises(InvalidVector):
        build_index(documents, folder, embed_model=Bad())


def test_the_old_index_is_searched_while_the_new_one_is_built(index, folder, make_embedding):
    reached, go_on = threading.Event(), threading.Event()

    class Waiting(make_embedding):
        def _get_text_embedding(self, text):
            reached.set()
            assert go_on.wait(30)
            return super()._get_text_embedding(text)

    def rebuild():
        new = [Document(id_="새", text="새 글입니다.")]
        build_index(new, folder, embed_model=Waiting(), overwrite=True).vector_store.close()

    builder = threading.Thread(target=rebuild)
    builder.start()
    assert reached.wait(30)
    assert best(index, "한강은 어디로 흐르나요?") == "강"
    go_on.set()
    builder.join(30)
    assert index.vector_store.count == 1


def test_chunk_tokens_hold_for_documents_that_are_inserted_later(folder, embed_model):
    story = " ".join(f"{number}번째 손님이 강가를 걸었습니다." for number in range(40))
    index = build_index([Document(id_="하나", text=story)], folder, embed_model=embed_model, chunk_tokens=40)
    index.vector_store.close()
    opened = open_index(folder, embed_model=embed_model)
    opened.insert(Document(id_="둘", text=story))
    sizes = [len("".join(node.text.split())) for node in opened.vector_store.nodes()]
    assert len(sizes) > 20
    assert max(sizes) <= 40
    opened.vector_store.close()


def test_nfd_documents_are_kept_and_found(folder, embed_model):
    decomposed = "\u1112\u1161\u11ab\u1100\u1161\u11bc"
    index = build_index([Document(id_="d", text=decomposed)], folder, embed_model=embed_model)
    assert [node.text for node in index.vector_store.nodes()] == [decomposed]
    index.vector_store.close()


def test_importing_the_room_loads_no_heavy_library():
    code = (
        "import sys, llama_index_ko_rerank.store as room; assert 'build_index' in dir(room); "
        "sys.exit(str([name for name in ('faiss', 'kiwipiepy', 'torch', 'llama_index.core') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
