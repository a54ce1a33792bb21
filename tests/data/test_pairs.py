import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.data import SentencePair, available_splits, dataset_kind, load_dataset, load_pair_dataset
from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData, UnknownDataset


def test_rows_become_questions_and_passages_in_file_order(write_lines):
    path = write_lines(
        {"question": "비는?", "context": "비가 온다", "title": "날씨", "id": "k1"},
        {"question": "눈은?", "context": "눈이 온다"},
        {"context": "바람이 분다", "title": "날씨"},
    )
    dataset = load_dataset(f"pairs:{path}")
    assert [(passage.id, passage.text, passage.title) for passage in dataset.passages] == [
        ("p00000", "비가 온다", "날씨"),
        ("p00001", "눈이 온다", ""),
        ("p00002", "바람이 분다", "날씨"),
    ]
    assert [(question.id, question.text, question.passage_ids) for question in dataset.questions] == [
        ("k1", "비는?", ("p00000",)),
        ("q00000", "눈은?", ("p00001",)),
    ]


@pytest.mark.parametrize("question", [{}, {"question": None}, {"question": ""}])
def test_a_row_with_no_question_only_adds_its_passage(write_lines, question):
    dataset = load_dataset(f"pairs:{write_lines({'context': '글', 'id': 'own', **question})}")
    assert [(passage.id, passage.text) for passage in dataset.passages] == [("own", "글")]
    assert (dataset.questions, dataset.split) == ((), "all")


def test_splits_are_the_values_of_the_field_and_all(write_lines):
    spec = "pairs:" + str(
        write_lines(
            {"question": "하나?", "context": "가", "split": "validation"},
            {"question": "둘?", "context": "나"},
            {"question": "셋?", "context": "다", "split": "train"},
            {"context": "라"},
            {"context": "마", "split": "unasked"},
        )
    )
    assert available_splits(spec) == ("validation", "train", "all")
    texts = {
        split: [question.text for question in load_dataset(spec, split).questions] for split in available_splits(spec)
    }
    assert texts == {"validation": ["하나?"], "train": ["둘?", "셋?"], "all": ["하나?", "둘?", "셋?"]}
    for split in available_splits(spec):
        assert "".join(passage.text for passage in load_dataset(spec, split).passages) == "가나다라마"
    with pytest.raises(UnknownDataset, match="no split 'vaildation'; did you mean 'validation'"):
        load_dataset(spec, "vaildation")


def test_ids_are_the_same_in_every_split(write_lines):
    spec = "pairs:" + str(
        write_lines(
            {"question": "하나?", "context": "가", "split": "train"},
            {"question": "둘?", "context": "나", "split": "test"},
        )
    )
    assert load_dataset(spec, "test").questions == load_dataset(spec, "all").questions[1:]


def test_one_question_with_two_contexts_is_one_question(write_lines):
    rows = [
        {"question": "비는?", "context": "가"},
        {"question": "눈은?", "context": "나"},
        {"question": "비는?", "context": "다"},
    ]
    dataset = load_dataset(f"pairs:{write_lines(*rows)}")
    assert [(question.text, question.passage_ids) for question in dataset.questions] == [
        ("비는?", ("p00000", "p00002")),
        ("눈은?", ("p00001",)),
    ]


def test_made_up_question_ids_avoid_the_given_ones(write_lines):
    rows = [
        {"question": "하나?", "context": "가"},
        {"question": "둘?", "context": "나", "id": "q00000"},
        {"question": "셋?", "context": "다", "id": 7},
    ]
    dataset = load_dataset(f"pairs:{write_lines(*rows)}")
    assert [question.id for question in dataset.questions] == ["q00001", "q00000", "7"]


def test_a_list_in_one_json_file_reads_as_jsonl_does(write_lines, write_json):
    rows = [{"question": "하나?", "context": "가"}, {"context": "나"}]
    first, second = load_dataset(f"pairs:{write_lines(*rows)}"), load_dataset(f"pairs:{write_json('a.json', rows)}")
    assert (first.passages, first.questions) == (second.passages, second.questions)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=6))
def test_any_text_comes_back_in_nfc_and_every_question_finds_its_context(tmp_path_factory, drawn):
    rows = [(f"무엇 {question}?", f"글 {context}") for question, context in drawn]
    path = tmp_path_factory.mktemp("pairs") / "a.jsonl"
    path.write_text("".join(json.dumps({"question": q, "context": c}) + "\n" for q, c in rows), encoding="utf-8")
    pairs = {(pair.question, pair.context) for pair in load_dataset(f"pairs:{path}").pairs()}
    assert pairs == {(unicodedata.normalize("NFC", q), unicodedata.normalize("NFC", c)) for q, c in rows}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "하나?"}, "line 2, field 'context': missing; the row has question"),
        ({"question": "하나?", "context": ["가"]}, "line 2, field 'context': must be a string, not a list"),
        ({"question": 3, "context": "가"}, "line 2, field 'question': must be a string, not a number"),
        ({"question": " \t", "context": "가"}, "line 2, field 'question': is blank"),
        ({"question": "하나?", "context": "가", "title": 1}, "line 2, field 'title': must be a string"),
        ({"question": "하나?", "context": "가", "split": 1}, "line 2, field 'split': must be a string"),
        (
            {"question": "하나?", "context": "가", "split": "all"},
            "line 2, field 'split': 'all' is the name of all splits",
        ),
        ({"question": "하나?", "context": "가", "id": 1.5}, "line 2, field 'id': must be a string, not a number"),
        (
            {"question": "하나?", "context": "가", "id": "first"},
            "line 2, field 'id': 'first' stands for another question",
        ),
        ({"question": "하나?\udfff", "context": "가"}, r"line 2, field 'question': holds a lone surrogate \(U\+DFFF\)"),
        ({"sentence1": "가", "sentence2": "나", "label": 1}, "line 2, field 'context': missing"),
    ],
)
def test_a_malformed_row_names_file_line_and_field(write_lines, row, message):
    path = write_lines({"question": "처음?", "context": "가", "id": "first"}, row)
    with pytest.raises(MalformedData, match=f"pairs.jsonl, {message}"):
        load_dataset(f"pairs:{path}")


def test_labels_with_a_point_are_similarities_and_whole_ones_among_them_too(write_lines):
    rows = [{"sentence1": "가", "sentence2": "나", "label": label} for label in (0.25, 1, 0)]
    pairs = load_pair_dataset(f"pairs:{write_lines(*rows)}").pairs
    assert pairs[0] == SentencePair("가", "나", 0.25)
    assert [(pair.label, type(pair.label)) for pair in pairs] == [(0.25, float), (1.0, float), (0.0, float)]


def test_labels_that_are_all_whole_are_classes_in_every_split(write_json):
    rows = [{"sentence1": "가", "sentence2": "나", "label": label, "split": f"s{label}"} for label in (2, 0, 1)]
    spec = f"pairs:{write_json('a.json', rows)}"
    assert available_splits(spec) == ("s2", "s0", "s1", "all")
    assert [(pair.label, type(pair.label)) for pair in load_pair_dataset(spec).pairs] == [
        (2, int),
        (0, int),
        (1, int),
    ]
    assert [pair.label for pair in load_pair_dataset(spec, "s0").pairs] == [0]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (1.5, r"row \[1\], field 'label': 1\.5 is neither a similarity in 0-1 nor"),
        (-0.5, "-0.5 is neither"),
        (2, "2 is neither"),
        ("1", "must be a number, not a string"),
        (True, "must be a number, not true or false"),
        (None, "must be a number, not null"),
        (float("nan"), "must be a finite number, not nan"),
    ],
)
def test_a_label_that_is_neither_similarity_nor_class_is_malformed(write_json, label, message):
    rows = [{"sentence1": "가", "sentence2": "나", "label": value} for value in (0.5, label)]
    with pytest.raises(MalformedData, match=f"a.json, .*{message}"):
        load_pair_dataset(f"pairs:{write_json('a.json', rows)}")


def test_a_negative_class_is_malformed(write_lines):
    with pytest.raises(MalformedData, match="line 1, field 'label': -1 is neither"):
        load_pair_dataset(f"pairs:{write_lines({'sentence1': '가', 'sentence2': '나', 'label': -1})}")


@pytest.mark.parametrize("field", ["sentence2", "label"])
def test_a_sentence_pair_without_a_field_names_it(write_lines, field):
    row = {"sentence1": "가", "sentence2": "나", "label": 1}
    del row[field]
    with pytest.raises(MalformedData, match=f"line 1, field '{field}': missing"):
        load_pair_dataset(f"pairs:{write_lines(row)}")


def test_each_layout_says_its_kind_and_is_refused_as_the_other(write_lines):
    retrieval = f"pairs:{write_lines({'question': '하나?', 'context': '가'}, name='retrieval.jsonl')}"
    sentences = f"pairs:{write_lines({'sentence1': '가', 'sentence2': '나', 'label': 1}, name='sentences.jsonl')}"
    assert (dataset_kind(retrieval), dataset_kind(sentences)) == ("retrieval", "sentence-pairs")
    with pytest.raises(
        UnknownDataset, match="holds labelled sentence pairs, and questions with passages are needed here: sample"
    ):
        load_dataset(sentences)
    with pytest.raises(
        UnknownDataset, match="holds questions with passages, and labelled sentence pairs are needed here: klue-sts"
    ):
        load_pair_dataset(retrieval)


@pytest.mark.parametrize("row", [{"question": "하나?", "contxt": "가"}, {}, {"sentence1": "가", "context": "나"}])
def test_a_file_in_neither_layout_or_in_both_says_which_fields_are_needed(write_lines, row):
    with pytest.raises(
        MalformedData, match=r"pairs\.jsonl, line 1: needs question and context, or sentence1, sentence2 and label"
    ):
        dataset_kind(f"pairs:{write_lines(row)}")


def test_an_empty_file_of_pairs_is_an_empty_corpus(write_lines):
    with pytest.raises(EmptyCorpus, match="is empty"):
        load_dataset(f"pairs:{write_lines()}")
