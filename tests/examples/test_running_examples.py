"""The examples for newcomers run offline and show what they promise."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = ("drop_in_postprocessor", "index_a_folder", "any_embedding", "movie_chatbot", "langchain_or_plain")
LONG = "fit_to_your_data"  # cross-validation over 378 questions
_IN_TURN = """
import contextlib, io, json, os, runpy, sys
printed = {}
for example in sys.argv[1:]:
    folder = os.path.splitext(os.path.basename(example))[0]
    os.mkdir(folder)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as screen:
        sys.argv = [example]
        runpy.run_path(example, run_name="__main__")
    printed[folder] = screen.getvalue()
    assert not os.listdir(folder), f"{example} left {os.listdir(folder)}"
print(json.dumps(printed))
"""


def run(arguments, folder):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder, capture_output=True, encoding="utf-8", timeout=240, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the quick examples print, in one process, since loading the libraries takes longer than the examples."""
    paths = [EXAMPLES / f"{name}.py" for name in QUICK]
    return json.loads(run(["-c", _IN_TURN, *paths], tmp_path_factory.mktemp("examples")))


def check_drop_in_postprocessor(text):
    before, after = text.split("embedding, then reranker")
    assert "passages that the LLM reads: 10" in before
    assert "passages that the LLM reads: 3" in after
    best = re.search(r"1\. (0\.\d{3}) {2}(.*)", after)
    assert best is not None
    assert "50원의 연체료" in best.group(2)


def check_index_a_folder(text):
    first, second = text.split("\n\nadded")
    assert first.startswith("added 3, changed 0, deleted 0, unchanged 0")
    assert "해 뜨기 전에 준다. [1]" in first
    assert second.startswith(" 0, changed 1, deleted 1, unchanged 1")
    assert "저녁 7시 뒤에 준다. [1]" in second
    assert "해 뜨기 전에" not in second


def check_any_embedding(text):
    assert "60 questions over 168 passages" in text
    top_k_indices = {
        name.strip(): float(share)
        for name, share in re.findall(r"^\| ([^|]+) \| (\.\d+|1\.000) \[", text, re.MULTILINE)
    }
    assert list(top_k_indices) == ["hashed characters", "ko-static", "words", "words + hashed characters"]
    assert top_k_indices["hashed characters"] > 0.1  # 1 in 168 would be chance
    assert top_k_indices["words"] > top_k_indices["hashed characters"]


def check_movie_chatbot(text):
    sea, then, comedy, nothing = text.split("\n> ")[1:]
    assert "- 파도 우체국 (2018, 로맨스): 바다 마을 우체국에서" in sea
    assert "등대지기" not in sea  # of 2012
    assert then.splitlines()[0] == "그럼 2012년에는?"
    assert "- 등대지기의 여름 (2012, 로맨스): " in then  # genre and sea are those of the question before
    assert "파도" not in then
    assert comedy.splitlines()[1].startswith("- 할머니 탐정단 (2019, 코미디): 시골 할머니 넷이")
    assert "만우절" not in comedy  # of 2003
    assert "찾지 못했습니다" in nothing
    assert "화성" not in nothing


def check_langchain_or_plain(text):
    strings, documents = text.split("\nthe same as documents\n")
    scores = [float(score) for score in re.findall(r"^ {2}(0\.\d{3})", strings, re.MULTILINE)]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert "was number 2  화분에 물은 닷새에" in strings.splitlines()[1]
    assert documents.splitlines()[0] == f"  {scores[0]:.3f}  page 2"
    assert len(documents.splitlines()) == 2


def check_fit_to_your_data(text):
    assert "held-out gains over 378 questions" in text
    shares = [float(share) for share in re.search(r"weights: lexical (\S+), dense (\S+)\n", text).groups()]
    assert sum(shares) == pytest.approx(1.0)
    assert re.search(r"ranker: (none|default|fitted)\n", text)
    assert "126 questions over 168 passages" in text
    first = {name: float(share) for name, share in re.findall(r"^\| (\w+) \| (\.\d+) \[", text, re.MULTILINE)}
    assert first["fitted"] >= first["unfitted"] - 0.02  # two or three of 126 questions


def check(name, text):
    globals()[f"check_{name}"](text)


@pytest.mark.parametrize("name", QUICK)
def test_an_example_shows_what_it_is_about(name, printed):
    check(name, printed[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, LONG])
def test_an_example_runs_by_itself_and_leaves_nothing_behind(name, tmp_path):
    check(name, run([EXAMPLES / f"{name}.py"], tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_film_adviser_answers_other_questions_too(tmp_path):
    sys.path.insert(0, str(EXAMPLES))
    try:
        from movie_chatbot import filters_of
    finally:
        sys.path.pop(0)

    def read(question):
        return [(one.key, one.operator.value, one.value) for one in filters_of(question).filters]

    assert read("비 오는 날 볼 만한 것") == []
    assert read("sf 영화") == [("genre", "==", "SF")]
    assert read("2015년 이후 코미디") == [("genre", "==", "코미디"), ("year", ">=", 2015)]
    assert read("2010년 이전") == [("year", "<=", 2010)]
    assert read("2010년대") == [("year", ">=", 2010), ("year", "<=", 2019)]
    assert read("2009년") == [("year", ">=", 2009), ("year", "<=", 2009)]


@pytest.mark.parametrize("name", [*QUICK, LONG])
def test_an_example_for_newcomers_is_short_and_named_in_the_list(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert f"python examples/{name}.py" in text
    assert f"`{name}.py`" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_the_list_tells_every_script_of_the_folder():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts <= set(re.findall(r"`(\w+\.py)`", text))
