import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import Document, MetadataMode

from llama_index_ko_rerank.errors import InvalidSetting, InvalidText
from llama_index_ko_rerank.text.splitter import KoreanSentenceSplitter, make_splitter, sentence_pieces

SENTENCES = [f"{number}번째 손님은 아침에 강가를 따라 천천히 걸었습니다." for number in range(1, 41)]
STORY = " ".join(SENTENCES)


@pytest.fixture
def counting(make_embedding):
    """A model that counts words as tokens, with two special tokens around each text, and takes 64."""

    class Counting(make_embedding):
        max_tokens: int = 64
        text_instruction: str = "passage: "

        def token_count(self, text):
            return len(text.split()) + 2

    return Counting()


@given(st.text(alphabet="가나다라. \n!?\t", max_size=80) | st.text(max_size=80))
@settings(max_examples=25, deadline=None)
def test_the_pieces_of_a_text_joined_are_the_text(text):
    assert "".join(sentence_pieces(text)) == text


def test_chunks_are_whole_sentences_and_fit_the_model(counting):
    nodes = make_splitter(counting)([Document(text=STORY, id_="이야기")])
    assert len(nodes) > 3
    for node in nodes:
        assert node.text.startswith(tuple(str(number) for number in range(1, 10)))
        assert node.text.endswith("걸었습니다.")
        assert counting.token_count(counting.text_instruction + node.text) <= 64
        assert STORY[node.start_char_idx : node.end_char_idx] == node.text


def test_no_sentence_is_lost(counting):
    nodes = make_splitter(counting)([Document(text=STORY)])
    for sentence in SENTENCES:
        assert any(sentence in node.text for node in nodes)


def test_node_ids_are_the_documents_with_a_number(counting):
    nodes = make_splitter(counting)([Document(text=STORY, id_="이야기")])
    assert [node.node_id for node in nodes] == [f"이야기:{number}" for number in range(len(nodes))]
    assert {node.ref_doc_id for node in nodes} == {"이야기"}


def test_chunks_leave_room_for_the_metadata_that_is_embedded_with_them(counting):
    document = Document(text=STORY, metadata={"제목": "강가의 아침과 손님들", "쪽": "하나"})
    for node in make_splitter(counting)([document]):
        assert counting.token_count("passage: " + node.get_content(MetadataMode.EMBED)) <= 64


def test_metadata_longer_than_a_chunk_is_logged_once_and_crashes_nothing(counting, caplog, capsys):
    document = Document(text=STORY, metadata={"요약": "긴 요약 " * 100})
    with caplog.at_level(logging.WARNING):
        nodes = make_splitter(counting)([document, document.model_copy(update={"id_": "또"})])
    assert len(nodes) > 3
    assert len([record for record in caplog.records if "excluded_embed_metadata_keys" in record.message]) == 1
    assert capsys.readouterr().out == ""


def test_a_short_document_stays_one_node(counting):
    (node,) = make_splitter(counting)([Document(text=SENTENCES[0])])
    assert node.text == SENTENCES[0]


def test_a_text_without_sentences_or_spaces_is_cut_to_size(counting, make_embedding):
    splitter = make_splitter(make_embedding(), chunk_tokens=32)
    nodes = splitter([Document(text="가" * 500)])
    assert "".join(node.text for node in nodes).count("가") >= 500
    assert all(len(node.text) <= 32 for node in nodes)


def test_without_a_tokenizer_characters_are_counted(make_embedding):
    nodes = make_splitter(make_embedding(), chunk_tokens=100)([Document(text=STORY)])
    assert all(len("".join(node.text.split())) <= 100 for node in nodes)
    assert max(len("".join(node.text.split())) for node in nodes) > 60


def test_a_hugging_face_tokenizer_counts_where_the_model_shows_one(make_embedding):
    class Encoded:
        def __init__(self, text):
            self.ids = [0, *text.split(), 1]

    class Tokenizer:
        def encode(self, text):
            return Encoded(text)

    class WithTokenizer(make_embedding):
        @property
        def tokenizer(self):
            return Tokenizer()

    nodes = make_splitter(WithTokenizer(), chunk_tokens=40)([Document(text=STORY)])
    assert all(len(node.text.split()) <= 38 for node in nodes)
    assert max(len(node.text.split()) for node in nodes) > 20


def test_chunk_tokens_are_at_least_32_and_at_most_what_the_model_takes(counting):
    for chunk_tokens in (31, 0, -5, 65):
        with pytest.raises(InvalidSetting, match="at least 32 and at most the model's 64"):
            make_splitter(counting, chunk_tokens=chunk_tokens)
    assert isinstance(make_splitter(counting, chunk_tokens=64), KoreanSentenceSplitter)


def test_lone_surrogates_in_a_long_document_are_refused(counting):
    with pytest.raises(InvalidText):
        make_splitter(counting)([Document(text=STORY + "\ud800")])
