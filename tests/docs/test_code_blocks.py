"""The code of the docs compiles, names what is there, and runs."""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
import typer

from llama_index_ko_rerank.cli import app
from tests.docs.docs_reading import ROOT, fences, prose

PACKAGE = "llama_index_ko_rerank"
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "README.ko.md"])
NEED_A_SERVER = {"serve.md", "chat.md"}  # run by the tests of these rooms
RUN = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in NEED_A_SERVER]
# Names of LlamaIndex, sentence-transformers, torch and the book, which this package's code does not hold.
FOREIGN = {
    "SimpleVectorStore",
    "SimpleDocumentStore",
    "FaissVectorStore",
    "quantize_dynamic",
    "secure_delete",
    "extra_body",
}


def by_name(page):
    return page.relative_to(ROOT).as_posix()


def python_blocks(page):
    return [code for info, code in fences(page.read_text(encoding="utf-8")) if info == "python"]


@pytest.fixture(scope="module")
def words_of_the_code():
    """Every name of the package, and of the benchmarks, whose results the pages quote by key."""
    files = [*sorted((ROOT / PACKAGE).rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    sources = "".join(path.read_text(encoding="utf-8") for path in files)
    return set(re.findall(r"[A-Za-z_]\w*", sources))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_python_blocks_import_only_what_there_is(page):
    for code in python_blocks(page):
        for statement in ast.walk(ast.parse(code)):
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(PACKAGE):
                module = importlib.import_module(statement.module)
                for name in statement.names:
                    assert getattr(module, name.name, None) is not None, f"{statement.module}.{name.name}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_names_in_the_text_stand_in_the_code(page, words_of_the_code):
    """A name is what has an underscore or a capital inside, or is called, between backticks."""
    text = prose(page.read_text(encoding="utf-8"))
    unknown = []
    for quoted in re.findall(r"`([^`\n]+)`", text):
        called = re.match(r"([A-Za-z_][\w.]*)(?:\(.*\))?$", quoted)
        if called is None or quoted.endswith((".py", ".json", ".md", ".txt", ".ipynb")):
            continue
        name = called[1].rpartition(".")[2]
        is_name = "(" in quoted or re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|[A-Z][a-z0-9]+([A-Z][A-Za-z0-9]*)+", name)
        if name not in words_of_the_code:  # Prometheus writes _total behind; the prefix may be the code's constant
            name = name.removeprefix("ko_rerank_").removesuffix("_total")
        if is_name and not name.isupper() and name not in words_of_the_code | FOREIGN and name != PACKAGE:
            unknown.append(quoted)
    assert unknown == []


def _commands(page):
    text = page.read_text(encoding="utf-8")
    lines = [line for _, code in fences(text) for line in code.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(ko-rerank [^`\n]+)`", text)
    return [line for line in lines if line.startswith("ko-rerank ")]


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=by_name)
def test_commands_and_their_options_are_there(page):
    root = typer.main.get_command(app)
    for line in _commands(page):
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "--help" or " | " in line:
            continue
        command = root.get_command(click.Context(root), words[0])
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, line


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=by_name)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(python_blocks(page))],
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=600, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
