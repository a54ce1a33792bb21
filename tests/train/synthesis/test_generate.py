from collections import Counter

import pytest

from llama_index_ko_rerank.data import Passage
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, InvalidText
from llama_index_ko_rerank.train.synthesis.filters import LONGEST, SHORTEST, question_fault, question_key
from llama_index_ko_rerank.train.synthesis.generate import make_questions
from tests.corpora.synthesis import LIBRARY


def make(passages=LIBRARY, *, seed=0, **settings):
    return make_questions(passages, seed=seed, **{"common_from": len(LIBRARY), **settings})


def test_the_seed_decides_the_questions():
    assert make(seed=1) == make(seed=1)
    assert make(seed=1) != make(seed=2)


def test_the_order_of_the_passages_does_not_matter():
    made = make(per_passage=4)
    turned = make(tuple(reversed(LIBRARY)), per_passage=4)
    assert sorted(made, key=str) == sorted(turned, key=str)
    assert [q.passage_id for q in made] == sorted(
        (q.passage_id for q in made), key=[passage.id for passage in LIBRARY].index
    )


def test_what_is_made_of_a_passage_does_not_depend_on_its_neighbours():
    alone = make(LIBRARY[-1:], per_passage=20, kinds=["cloze"])
    among = [q for q in make(per_passage=20, kinds=["cloze"]) if q.passage_id == "setup-1"]
    assert alone == among != []


def test_a_passage_gets_at_most_what_was_asked_for():
    counts = Counter(question.passage_id for question in make(per_passage=2))
    assert max(counts.values()) == 2


def test_only_the_kinds_that_were_asked_for_are_made():
    assert {question.kind for question in make(kinds=["key_phrases", "heading"])} == {"key_phrases", "heading"}


def test_every_question_is_one_of_a_kind_and_of_a_natural_length():
    made = make(per_passage=20)
    assert len({question_key(question.text) for question in made}) == len(made)
    assert all(SHORTEST <= len(question.text) <= LONGEST for question in made)


def test_an_answer_does_not_stand_in_its_question():
    texts = {passage.id: passage.text for passage in LIBRARY}
    for question in make(per_passage=20, kinds=["cloze"]):
        answer = texts[question.passage_id][slice(*question.span)]
        assert answer.strip() == answer != ""
        assert answer not in question.text


def test_a_question_that_two_passages_answer_is_dropped():
    twice = [*LIBRARY, Passage("copy", LIBRARY[-1].text, LIBRARY[-1].title)]
    assert not {"copy", "setup-1"} & {question.passage_id for question in make(twice, per_passage=20)}


def test_common_words_alone_make_no_question():
    same = [Passage(f"p{n}", f"위원회는 회의를 매달 청사 회의실에서 개최한다. 표지 {n}번") for n in range(30)]
    assert not [q for q in make_questions(same, seed=0, common_from=5, kinds=["cloze"]) if "회의" in q.text]


def test_the_passages_are_not_changed_and_progress_is_told():
    before, steps = tuple(LIBRARY), []
    make(on_progress=lambda done, of: steps.append((done, of)))
    assert before == LIBRARY
    assert steps == [(n, len(LIBRARY)) for n in range(1, len(LIBRARY) + 1)]


@pytest.mark.parametrize("text", ["...", "1234 5678", "\n\n", "Only English words stand here.", "{}[]()", "가" * 5000])
def test_a_text_with_nothing_to_ask_gives_nothing(text):
    assert make_questions([Passage("p", text)], seed=0) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_passage": 0}, "per_passage must be 1 or more"),
        ({"kinds": []}, "name at least one kind"),
        ({"kinds": ["clozes"]}, "did you mean 'cloze'"),
        ({"common_from": 0}, "common_from must be 1 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(InvalidSetting, match=message):
        make(**settings)


def test_no_passages_and_broken_text_are_refused():
    with pytest.raises(EmptyCorpus, match="no passages"):
        make_questions([], seed=0)
    with pytest.raises(InvalidText, match="passage 'p'"):
        make_questions([Passage("p", "한\ud800글")], seed=0)


@pytest.mark.parametrize(
    ("text", "answer", "fault"),
    [
        ("왜요?", "", "too short"),
        ("긴 질문 " * 20, "", "too long"),
        ("What is this all?", "", "not in Korean"),
        ("이 법은 무엇을 정하나요?", "", "points elsewhere"),
        ("그는 무엇을 썼나요?", "", "points elsewhere"),
        ("한들 도서관은 어디인가요?", "한들도서관", "leaks its answer"),
        ("책은 책은 무엇인가요?", "", "repeats itself"),
        ("한들도서관은 언제 문을 열었나요?", "1987년", None),
    ],
)
def test_a_faulty_question_is_told_by_its_words(text, answer, fault):
    assert question_fault(text, answer) == fault


def test_statutes_and_documentation_give_questions_of_every_kind(shared_data):
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(shared_data / "corpus" / "statutes.parquet")
    rows = next(table.iter_batches(400, columns=["law", "heading", "text"])).to_pylist()
    passages = [Passage(f"p{n}", f"{row['heading']}\n{row['text']}", row["law"]) for n, row in enumerate(rows)]
    made = make_questions(passages, seed=0)
    assert {question.kind for question in made} == {"heading", "definition", "cloze", "key_phrases"}
    assert len(made) > len(passages)
    texts = {passage.id: passage.text for passage in passages}
    assert all(0 <= q.span[0] < q.span[1] <= len(texts[q.passage_id]) for q in made if q.span)
