import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from llama_index_ko_rerank.errors import InvalidText
from llama_index_ko_rerank.rerank.nodes import map_span_to_node, model_input_text, original_span
from llama_index_ko_rerank.text.normalize import normalize

AWKWARD = "연차ＡＢ\u3000ｶﾞ \t\n\u200b\u00ad\x0b\x1f\x85e\u0301\u1100\u1161\ufeffﾞ"


def found(text, **node):
    return NodeWithScore(node=TextNode(text=text, id_="n1", **node))


def test_a_text_is_read_in_its_normal_form_with_its_metadata():
    assert model_input_text(found("ＡＢ", metadata={"쪽": 3}), MetadataMode.EMBED) == "쪽: 3\n\nAB"
    assert model_input_text(found("ＡＢ", metadata={"쪽": 3}), MetadataMode.NONE) == "AB"
    with pytest.raises(InvalidText, match="the text of node 'n1'"):
        model_input_text(found("신청\ud800"), MetadataMode.NONE)


@given(st.text(AWKWARD, max_size=20))
def test_normalising_runs_one_by_one_is_normalising_the_whole(text):
    whole = original_span(text, (0, len(normalize(text))))
    assert normalize(text[slice(*whole)]).strip("\u200b") in (normalize(text), normalize(text).strip())


@given(st.text(AWKWARD, max_size=20), st.data())
def test_the_stretch_that_is_found_holds_what_was_read(text, data):
    normal = normalize(text)
    start = data.draw(st.integers(0, len(normal)))
    end = data.draw(st.integers(start, len(normal)))
    first, last = original_span(text, (start, end))
    assert 0 <= first <= last <= len(text)
    assert normal[start:end] in normalize(text[first:last])


def test_offsets_in_a_text_that_is_normal_stay():
    assert original_span("연차는 사흘 전에", (4, 6)) == (4, 6)


def test_decomposed_words_are_found_whole():
    text = unicodedata.normalize("NFD", "연차는 사흘 전에 신청한다")
    first, last = original_span(text, (5, 9))  # 흘 전에, from the middle of a word
    assert unicodedata.normalize("NFC", text[first:last]) == "사흘 전에"


class TestInNodes:
    TEXT = "\n연차는 사흘 전에 신청한다.  \n"

    def test_metadata_are_no_part_of_the_nodes_text(self):
        node = found(self.TEXT, metadata={"제목": "연차"})
        read = model_input_text(node, MetadataMode.EMBED)
        start = read.index("사흘")
        assert self.TEXT[slice(*map_span_to_node(node, MetadataMode.EMBED, (start, start + 5)))] == "사흘 전에"

    def test_a_stretch_that_begins_in_the_metadata_begins_with_the_text(self):
        node = found(self.TEXT, metadata={"제목": "연차"})
        end = model_input_text(node, MetadataMode.EMBED).index("사흘")
        start, stop = map_span_to_node(node, MetadataMode.EMBED, (0, end))
        assert self.TEXT[start:stop].strip() == "연차는"

    def test_metadata_alone_are_no_stretch_of_the_text(self):
        node = found("연차", metadata={"제목": "휴가 규정"})
        assert map_span_to_node(node, MetadataMode.EMBED, (0, 4)) is None

    def test_a_template_that_hides_the_text_gives_none(self):
        node = found("연차", text_template="{metadata_str}", metadata={"제목": "휴가 규정"})
        assert map_span_to_node(node, MetadataMode.EMBED, (0, 4)) is None

    def test_all_of_it_is_no_stretch(self):
        assert map_span_to_node(found("연차"), MetadataMode.EMBED, None) is None
