"""The READMEs say what is so: their example, run as printed, gives the printed output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ko.md")
EXAMPLE = re.compile(r"<!-- example[^\n]*-->\n```python\n(.*?)```.*?```\n(.*?)```", re.DOTALL)


def example(name):
    code, printed = EXAMPLE.search((ROOT / name).read_text(encoding="utf-8")).groups()
    return code, printed


def test_the_example_gives_the_printed_output(tmp_path):
    code, printed = example("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed.strip()


def test_both_languages_show_the_same_example():
    assert example("README.md") == example("README.ko.md")


@pytest.mark.parametrize("name", READMES)
def test_files_that_are_linked_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_importing_the_package_loads_no_model_library_and_few_modules():
    code = (
        "import sys; before = set(sys.modules); import llama_index_ko_rerank as package;"
        "new = set(sys.modules) - before; own = {name for name in new if name.startswith('llama_index_ko_rerank')};"
        "assert len(own) < 10, own;"
        "other = {name.partition('.')[0] for name in new - own} - sys.stdlib_module_names; assert not other, other;"
        "heavy = {'torch', 'faiss', 'kiwipiepy', 'gradio', 'transformers', 'llama_index.core'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'KoreanEmbedding' in dir(package)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_tables_say_what_the_files_of_the_benchmarks_hold():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.readme_tables", "--check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
