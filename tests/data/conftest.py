"""Small data files that the tests write themselves, and the way to the shared ones."""

import json

import pytest

RAIN = "장마는 6월 말에 시작해 7월 말까지 이어진다."
SNOW = "첫눈은 11월 중순에 산간에서 먼저 내린다."
LEAVE = "연차는 3일 전에 팀장에게 신청한다."
TRIP = "출장비는 돌아온 날부터 7일 안에 청구한다."


def question(identifier, text, answer="", *, id_field="guid", impossible=False, start=0):
    answers = [{"text": answer, "answer_start": start}] if answer else []
    fields = {"question": text, id_field: identifier, "question_type": 1, "is_impossible": impossible}
    if impossible:
        return {**fields, "answers": [], "plausible_answers": answers}
    return {**fields, "answers": answers}


def document(*articles):
    """Nest (title, [(context, [question, ...]), ...]) as KLUE MRC's and SQuAD's own files do."""
    data = [
        {
            "title": title,
            "news_category": None,
            "source": "made for the test",
            "paragraphs": [{"context": context, "qas": list(qas)} for context, qas in paragraphs],
        }
        for title, paragraphs in articles
    ]
    return {"version": "test", "data": data}


@pytest.fixture
def ask():
    return question


@pytest.fixture
def nest():
    return document


@pytest.fixture
def weather():
    """Two articles, three paragraphs, three questions of which one is impossible."""
    return document(
        (
            "날씨",
            [
                (RAIN, [question("g0", "장마는 언제 시작하나?", "6월 말", start=4)]),
                (SNOW, [question("g1", "첫눈은 어디에 먼저 오나?", "산간", start=12)]),
            ],
        ),
        (
            "사내 규정",
            [
                (
                    LEAVE,
                    [
                        question("g2", "휴가를 쓰려면 누구에게 말하나?", "팀장", start=10),
                        question("g3", "연차는 며칠인가?", "3일", impossible=True),
                    ],
                )
            ],
        ),
    )


@pytest.fixture
def write_json(tmp_path):
    def write(name, value):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_lines(tmp_path):
    def write(*rows, name="pairs.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_parquet(tmp_path):
    def write(name, rows):
        import pyarrow
        import pyarrow.parquet

        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path

    return write


@pytest.fixture
def contexts():
    return {"rain": RAIN, "snow": SNOW, "leave": LEAVE, "trip": TRIP}
