import math
import stat

import pytest

from llama_index_ko_rerank.evaluate.report import interval_text, markdown_table, milliseconds_text, share_text
from llama_index_ko_rerank.evaluate.significance import Interval
from llama_index_ko_rerank.files import write_json_file, write_text_file


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8924, ".892"),
        (0.0, ".000"),
        (1.0, "1.000"),
        (0.99951, "1.000"),
        (-0.0001, ".000"),
        (-0.25, "-.250"),
        (-1.0, "-1.000"),
    ],
)
def test_shares_have_three_decimals_and_no_leading_zero(value, text):
    assert share_text(value) == text


def test_a_value_that_is_undefined_says_so():
    assert interval_text(Interval(math.nan, math.nan, math.nan)) == "undefined"


def test_milliseconds_have_as_many_digits_as_mean_something():
    assert [milliseconds_text(spent) for spent in (0.004, 9.87, 98.76, 1103.2)] == ["0.00", "9.87", "98.8", "1,103"]


def test_a_table_keeps_every_cell_on_its_line():
    assert markdown_table(["a", "b"], [["x\ny", "1|2"]]) == "| a | b |\n| --- | ---: |\n| x y | 1\\|2 |"


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json_file(tmp_path / "report.json", {"value": math.nan})
    assert not list(tmp_path.iterdir())


def test_a_written_file_can_be_read_by_others_and_keeps_the_mode_it_had(tmp_path):
    target = tmp_path / "report.md"
    write_text_file(target, "하나")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    target.chmod(0o600)
    write_text_file(target, "둘")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_text(encoding="utf-8") == "둘"
