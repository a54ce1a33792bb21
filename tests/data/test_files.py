import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data.records import read_object, read_parquet, read_records
from llama_index_ko_rerank.errors import DatasetUnavailable, EmptyCorpus, MalformedData

ROWS = [{"context": "가"}, {"context": "나\u2028다\u0085라"}]


def lines(line_end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + line_end for row in ROWS)


@pytest.mark.parametrize(
    "text",
    [
        lines(),
        lines("\r\n"),
        "\ufeff" + lines(),
        "\n\n" + lines("\n  \n"),
        lines().rstrip("\n"),
        json.dumps(ROWS, indent=2),
        "\ufeff\r\n" + json.dumps(ROWS),
    ],
    ids=["jsonl", "crlf", "bom", "blank lines", "no last line end", "list", "list with bom and crlf"],
)
def test_rows_are_the_same_however_the_file_is_written(tmp_path, text):
    path = tmp_path / "rows"
    path.write_bytes(text.encode("utf-8"))
    assert [row.values for row in read_records(path)] == ROWS


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), min_size=1, max_size=5))
def test_any_rows_of_json_survive_as_jsonl_and_as_a_list(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "lines").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "list").write_text(json.dumps(rows), encoding="utf-8")
    for name in ("lines", "list"):
        assert [row.values for row in read_records(folder / name)] == rows


def test_locations_are_lines_in_jsonl_and_indexes_in_a_list(tmp_path):
    path = tmp_path / "rows"
    path.write_text('{"a": 1}\n\n{"a": 2}\n', encoding="utf-8")
    assert [row.location for row in read_records(path)] == ["line 1", "line 3"]
    path.write_text('[{"a": 1}, {"a": 2}]', encoding="utf-8")
    assert [row.location for row in read_records(path)] == ["row [0]", "row [1]"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\n"])
def test_an_empty_file_is_an_empty_corpus(tmp_path, content):
    path = tmp_path / "empty.json"
    path.write_bytes(content)
    for read in (read_object, read_records):
        with pytest.raises(EmptyCorpus, match=r"empty\.json is empty"):
            read(path)


def test_an_empty_list_has_no_rows(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(EmptyCorpus, match="has no rows"):
        read_records(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1}\n{"a": \n', "line 2, column 7: is not JSON"),
        ('[{"a": 1},\n {"a"}]', "line 2, column 6: is not JSON"),
        ('{"a": 1}\n"글"\n', "line 2: must be an object, not a string"),
        ('{"a": 1}\n[3]\n', "line 2: must be an object, not a list"),
        ("[3]", r"row \[0\]: must be an object, not a number"),
        ('{"a": ' + "9" * 5000 + "}", "JSON that cannot be read: ValueError"),
        ("[" * 200_000, "JSON that cannot be read: RecursionError"),
    ],
)
def test_json_that_is_wrong_names_file_and_place(tmp_path, text, place):
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MalformedData, match=f"wrong.json(, |: holds ){place}") as caught:
        read_records(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_malformed(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text('{"data": [{"title": "제', encoding="utf-8")
    with pytest.raises(MalformedData, match=r"cut\.json, line 1, column 21: is not JSON"):
        read_object(path)


def test_a_file_in_another_encoding_says_where_utf_8_ends(tmp_path):
    path = tmp_path / "old.json"
    path.write_bytes('{"a": "한글"}'.encode("cp949"))
    with pytest.raises(MalformedData, match=r"old\.json is not UTF-8: byte 0xc7 at offset 7; save it as UTF-8"):
        read_object(path)


def test_a_missing_file_or_a_folder_is_unavailable(tmp_path):
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(DatasetUnavailable, match="cannot be read"):
            read_records(path)


def test_a_file_that_is_no_parquet_is_malformed_in_one_line(tmp_path):
    path = tmp_path / "train.parquet"
    for content in (b"", b"PAR1 and then nothing of the kind"):
        path.write_bytes(content)
        with pytest.raises(MalformedData, match=r"train\.parquet cannot be read as parquet") as caught:
            read_parquet(path)
        assert "\n" not in str(caught.value)


def test_a_parquet_file_gives_its_rows_with_indexes(write_parquet):
    rows = read_parquet(write_parquet("train.parquet", [{"a": "가"}, {"a": None}]))
    assert [(row.values, row.location) for row in rows] == [({"a": "가"}, "row [0]"), ({"a": None}, "row [1]")]


def test_a_parquet_file_with_no_rows_is_an_empty_corpus(write_parquet):
    with pytest.raises(EmptyCorpus, match="has no rows"):
        read_parquet(write_parquet("train.parquet", []))
