import json

import pytest

from llama_index_ko_rerank.data.records import Record
from llama_index_ko_rerank.errors import MalformedData


def row(**values):
    return Record(values, "a.jsonl", "line 3")


def test_a_missing_field_is_named_with_file_row_and_the_fields_that_are_there():
    with pytest.raises(MalformedData, match=r"^a\.jsonl, line 3, field 'context': missing; the row has contxt$"):
        row(contxt="글").text("context")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(3, "a number"), (None, "null"), (True, "true or false"), (["글"], "a list"), ({}, "an object")],
)
def test_text_of_another_type_is_refused_in_the_words_of_json(value, kind):
    with pytest.raises(MalformedData, match=f"field 'context': must be a string, not {kind}"):
        row(context=value).text("context")


@pytest.mark.parametrize("value", ["", "  \n\t", "\u200b\ufeff", "\x00\x07"])
def test_a_text_that_says_nothing_is_blank(value):
    with pytest.raises(MalformedData, match="field 'context': is blank"):
        row(context=value).text("context")


def test_a_lone_surrogate_is_malformed_and_the_message_can_be_printed():
    value = json.loads(r'"한\ud800글"')
    with pytest.raises(
        MalformedData, match=r"line 3, field 'context': holds a lone surrogate \(U\+D800\) at offset 1"
    ) as caught:
        row(context=value).text("context")
    str(caught.value).encode("utf-8")


def test_decomposed_hangul_becomes_nfc_and_control_characters_stay():
    assert row(context="\u1112\u1161\u11ab\x07\t글").text("context") == "한\x07\t글"


@pytest.mark.parametrize("values", [{}, {"split": None}, {"split": ""}])
def test_optional_text_may_be_missing_null_or_empty(values):
    assert row(**values).optional_text("split") == ""


def test_optional_text_of_only_white_space_is_refused():
    with pytest.raises(MalformedData, match="field 'split': is blank"):
        row(split=" ").optional_text("split")


@pytest.mark.parametrize("values", [{}, {"title": None}, {"title": ""}, {"title": " \u200b"}])
def test_a_title_that_is_missing_or_blank_is_unknown(values):
    assert row(**values).title() == ""


def test_a_title_is_nfc_and_a_string():
    assert row(title="\u1112\u1161\u11ab 글").title() == "한 글"
    with pytest.raises(MalformedData, match="field 'title': must be a string, not a list"):
        row(title=["글"]).title()


def test_an_id_is_a_string_or_a_whole_number():
    assert (row(id="a").identifier("id"), row(id=7).identifier("id"), row(id=0).optional_identifier("id")) == (
        "a",
        "7",
        "0",
    )
    for wrong in (True, 1.5, ["a"]):
        with pytest.raises(MalformedData, match="field 'id': must be a string"):
            row(id=wrong).optional_identifier("id")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", True, None])
def test_a_number_is_finite_and_no_string_or_truth_value(value):
    with pytest.raises(MalformedData, match="field 'label': must be a"):
        row(label=value).number("label")


def test_rows_within_rows_say_the_whole_path():
    file = Record({"data": [{"paragraphs": [{}, "글"]}]}, "a.json")
    with pytest.raises(
        MalformedData, match=r"^a\.json, row data\[0\]\.paragraphs\[1\]: must be an object, not a string$"
    ):
        file.records("data")[0].records("paragraphs")


@pytest.mark.parametrize(
    ("method", "expected"), [("boolean", "true or false"), ("items", "a list"), ("inner", "an object")]
)
def test_booleans_lists_and_objects_are_checked(method, expected):
    with pytest.raises(MalformedData, match=f"field 'x': must be {expected}, not a number"):
        getattr(row(x=1), method)("x")
