"""The notebooks are what notebooks/README.md promises; the slow test executes every one of them, small and offline."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.notebook_runs import execute, offline

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
HEADER = ("**시간**", "**메모리**", "**내려받기**")
MOST_BYTES = 400 * 1024
MOST_PROCESSOR_S = 40  # the promise is 25 s on an idle core; a busy one takes longer for the same work
LONGEST_HELPER = 15
ABSOLUTE_PATH = re.compile(r"(?<![\w./:~-])/(?:home|work|tmp|usr|root|Users|opt|var|mnt|etc|workspace)\b|\b[A-Z]:\\\\")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    """All Markdown without code spans, formulas and the addresses of links."""
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    text = re.sub(r"```.*?```|\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)", " ", text)


def syntax(path):
    for cell in code_cells(path):
        yield cell, ast.parse(cell.source)


@each_notebook
def test_it_is_a_valid_small_notebook_of_plain_python(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert path.stat().st_size < MOST_BYTES


@each_notebook
def test_its_first_cell_says_what_it_costs_in_time_memory_and_downloads(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    for word in HEADER:
        assert word in first.source, f"{word} is missing in the first cell"


@each_notebook
def test_its_prose_is_korean_and_stands_before_its_code(path):
    text = prose(path)
    letters = [letter for letter in text if letter.isalpha()]
    hangul = [letter for letter in letters if "가" <= letter <= "힣"]
    assert len(hangul) / len(letters) > 0.6
    cells = read(path).cells
    told = sum(cell.cell_type == "markdown" for cell in cells)
    assert told >= 0.4 * len(cells), "a reader needs more words between the cells"


@each_notebook
def test_it_names_no_place_of_one_machine(path):
    for cell in read(path).cells:
        assert not ABSOLUTE_PATH.search(cell.source), cell.source
        for output in cell.get("outputs", []):
            told = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            assert not ABSOLUTE_PATH.search(told), told


@each_notebook
def test_it_imports_the_package_and_defines_nothing_but_small_helpers_that_draw_or_show(path):
    imported = set()
    for cell, tree in syntax(path):
        for node in ast.walk(tree):
            assert not isinstance(node, ast.ClassDef | ast.AsyncFunctionDef), cell.source
            if isinstance(node, ast.FunctionDef):
                assert node.name.startswith(("draw_", "show_")), f"{node.name} belongs into the package"
                assert node.end_lineno - node.lineno < LONGEST_HELPER, f"{node.name} is too long for a notebook"
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
    assert "llama_index_ko_rerank" in imported


@each_notebook
def test_its_stored_outputs_are_those_of_one_clean_run(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


def test_every_notebook_that_draws_looks_for_a_hangul_font_by_the_same_cell():
    looking = {cell.source for path in NOTEBOOKS for cell in code_cells(path) if "font_manager" in cell.source}
    drawing = [path.stem for path in NOTEBOOKS if any("plt." in cell.source for cell in code_cells(path))]
    assert len(looking) == 1
    for path in NOTEBOOKS:
        if path.stem in drawing:
            assert any(cell.source in looking for cell in code_cells(path)), path.stem


def test_the_list_of_notebooks_names_every_one():
    listed = re.findall(r"\]\((\d\d_[a-z0-9_]+\.ipynb)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(listed)) == [path.name for path in NOTEBOOKS]


@pytest.mark.slow
@each_notebook
def test_it_runs_offline_on_small_data(path, tmp_path):
    environment = offline(KO_RERANK_TINY="1", OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1")
    environment.pop("KO_RERANK_HUB", None)
    environment.pop("KO_RERANK_DATA", None)
    run = execute(path, tmp_path, environment)
    assert run.processor_s < MOST_PROCESSOR_S, f"{path.stem} took {run.processor_s:.0f} s of processors"


@pytest.mark.slow
def test_a_notebook_under_test_cannot_leave_this_machine(tmp_path):
    source = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except PermissionError:
    print("refused")
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "leaving.ipynb")
    run = execute(tmp_path / "leaving.ipynb", tmp_path, offline())
    assert run.notebook.cells[0].outputs[0].text.strip() == "refused"
