import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.retrieve.inverted_index import RaggedArray

values = st.lists(st.lists(st.integers(0, 200), max_size=5), max_size=8)


def filled(rows):
    ragged = RaggedArray(np.int32, np.uint8)
    ragged.append([(np.array(row, np.int32), np.array(row, np.uint8)) for row in rows])
    return ragged


def contents(ragged):
    return [tuple(column.tolist() for column in ragged.row(number)) for number in range(len(ragged))]


@given(values, values)
def test_rows_appended_in_parts_are_the_rows_appended_at_once(first, second):
    parts = filled(first)
    parts.append([(np.array(row, np.int32), np.array(row, np.uint8)) for row in second])
    assert contents(parts) == contents(filled(first + second)) == [(row, row) for row in first + second]


@given(
    values.flatmap(
        lambda rows: st.tuples(st.just(rows), st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    )
)
def test_dropping_rows_leaves_the_others_in_order(rows_and_mask):
    rows, mask = rows_and_mask
    ragged = filled(rows)
    ragged.keep(np.array(mask, bool))
    assert contents(ragged) == [(row, row) for row, kept in zip(rows, mask, strict=True) if kept]


@given(values.filter(len), st.data())
def test_some_rows_come_end_to_end_with_the_place_of_their_owner(rows, data):
    numbers = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    owners, columns = filled(rows).take(numbers)
    assert owners.tolist() == [place for place, number in enumerate(numbers) for _ in rows[number]]
    assert [column.tolist() for column in columns] == [[value for number in numbers for value in rows[number]]] * 2


def test_columns_keep_their_types():
    ragged = filled([[1, 2], []])
    ragged.keep(np.array([False, True]))
    assert [column.dtype for column in ragged.columns] == [np.int32, np.uint8]
    assert ragged.pointers.dtype == np.int64


def test_no_rows_at_all_is_a_fine_state():
    ragged = RaggedArray(np.int32)
    ragged.append([])
    ragged.keep(np.zeros(0, bool))
    assert len(ragged) == 0
