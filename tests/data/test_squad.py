import copy

import pytest

from llama_index_ko_rerank.data import available_splits, load_dataset
from llama_index_ko_rerank.errors import EmptyCorpus, MalformedData

QUESTION = ("data", 0, "paragraphs", 0, "qas", 0)


@pytest.fixture
def three_articles(nest, ask, contexts):
    def one(identifier, text):
        return ask(identifier, text, id_field="id")

    return nest(
        ("날씨", [(contexts["rain"], [one("a", "비는 언제 오나?")]), (contexts["snow"], [])]),
        ("규정", [(contexts["leave"], [one("b", "휴가는 누구에게?"), one("c", "며칠 전에?")])]),
        (
            "출장",
            [(contexts["trip"], [one("d", "출장비는 언제까지?")]), (contexts["rain"], [one("e", "비는 언제 그치나?")])],
        ),
    )


def test_even_articles_are_tune_and_odd_ones_are_test(write_json, three_articles):
    spec = f"squad:{write_json('a.json', three_articles)}"
    assert available_splits(spec) == ("tune", "test", "all")
    ids = {split: [question.id for question in load_dataset(spec, split).questions] for split in available_splits(spec)}
    assert ids == {"tune": ["a", "d", "e"], "test": ["b", "c"], "all": ["a", "b", "c", "d", "e"]}
    assert load_dataset(spec).split == "all"


def test_the_collection_is_every_distinct_paragraph_in_every_split(write_json, three_articles, contexts):
    spec = f"squad:{write_json('a.json', three_articles)}"
    for split in available_splits(spec):
        dataset = load_dataset(spec, split)
        assert [passage.text for passage in dataset.passages] == [
            contexts[name] for name in ("rain", "snow", "leave", "trip")
        ]
        assert dataset.passages[0].title == "날씨"
    last = load_dataset(spec, "all").questions[-1]
    assert last.passage_ids == ("p00000",)


def test_an_impossible_question_of_squad_2_only_adds_its_paragraph(write_json, nest, ask):
    article = ("가", [("글 하나", [ask("a", "무엇?", "글", id_field="id", impossible=True)])])
    dataset = load_dataset(f"squad:{write_json('a.json', nest(article))}")
    assert (len(dataset.passages), dataset.questions) == (1, ())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("data",), 3, "field 'data': must be a list, not a number"),
        (("data", 1), "글", r"row data\[1\]: must be an object, not a string"),
        (("data", 1, "title"), 3, r"row data\[1\], field 'title': must be a string, not a number"),
        (
            ("data", 1, "paragraphs", 0, "context"),
            None,
            r"paragraphs\[0\], field 'context': must be a string, not null",
        ),
        (("data", 1, "paragraphs", 0, "context"), " ", r"paragraphs\[0\], field 'context': is blank"),
        (
            (*QUESTION, "question"),
            ["무엇?"],
            r"row data\[0\]\.paragraphs\[0\]\.qas\[0\], field 'question'",
        ),
        ((*QUESTION, "id"), None, "field 'id': must be a string, not null"),
        (
            (*QUESTION, "answers"),
            {"text": "비"},
            "field 'answers': must be a list, not an object",
        ),
        (
            (*QUESTION, "answers"),
            [{}],
            r"answers\[0\], field 'text': missing; the row has no fields",
        ),
        (
            (*QUESTION, "answers"),
            [{"text": "비", "answer_start": -1}],
            "-1 is outside the context of 26 characters",
        ),
        ((*QUESTION, "answers"), [{"text": "비", "answer_start": 26}], "26 is outside"),
        (
            (*QUESTION, "answers"),
            [{"text": "비", "answer_start": 1.5}],
            "must be a whole number, not 1.5",
        ),
        ((*QUESTION, "is_impossible"), "no", "field 'is_impossible': must be true or false"),
        (
            ("data", 2, "paragraphs", 0, "qas", 0, "id"),
            "a",
            r"row data\[2\]\.paragraphs\[0\]\.qas\[0\], field 'id': 'a' stands for another question",
        ),
    ],
)
def test_a_malformed_row_names_file_row_and_field(write_json, three_articles, path, value, message):
    wrong = copy.deepcopy(three_articles)
    *way, last = path
    place = wrong
    for step in way:
        place = place[step]
    place[last] = value
    with pytest.raises(MalformedData, match=f"wrong.json, .*{message}"):
        load_dataset(f"squad:{write_json('wrong.json', wrong)}")


def test_an_answer_that_is_not_at_its_offset_is_no_error(write_json, nest, ask):
    article = ("가", [("글 하나", [ask("a", "무엇?", "하나", id_field="id", start=0)])])
    assert load_dataset(f"squad:{write_json('a.json', nest(article))}").questions[0].answers == ("하나",)


@pytest.mark.parametrize("missing", ["data", "paragraphs"])
def test_a_file_of_another_layout_names_the_field_that_it_lacks(write_json, three_articles, missing):
    wrong = {"rows": []} if missing == "data" else {"data": [{"title": "가"}]}
    with pytest.raises(MalformedData, match=f"field '{missing}': missing"):
        load_dataset(f"squad:{write_json('a.json', wrong)}")


def test_no_articles_are_an_empty_corpus(write_json):
    with pytest.raises(EmptyCorpus, match="holds nothing"):
        load_dataset(f"squad:{write_json('a.json', {'data': []})}")


def test_korquad_has_5774_questions_over_961_distinct_paragraphs(shared_data):
    spec = f"squad:{shared_data / 'korquad' / 'KorQuAD_v1.0_dev.json'}"
    counts = {}
    for split in available_splits(spec):
        dataset = load_dataset(spec, split)
        counts[split] = len(dataset.questions)
        assert len(dataset.passages) == len({passage.text for passage in dataset.passages}) == 961  # of 964 in the file
        known = {passage.id for passage in dataset.passages}
        assert all(known.issuperset(question.passage_ids) for question in dataset.questions)
    assert counts == {"tune": 3316, "test": 2458, "all": 5774}


def test_no_korquad_paragraph_answers_questions_of_both_halves(shared_data):
    spec = f"squad:{shared_data / 'korquad' / 'KorQuAD_v1.0_dev.json'}"
    tune, test = ({pair.context for pair in load_dataset(spec, split).pairs()} for split in ("tune", "test"))
    assert not tune & test
