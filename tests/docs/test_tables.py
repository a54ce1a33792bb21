"""The tables of the docs are what the code says."""

import re

import pytest

from benchmarks.docs_tables import BLOCK, MADE, filled
from llama_index_ko_rerank.catalog import list_models
from llama_index_ko_rerank.train import RECIPES
from tests.docs.docs_reading import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_the_code_says(page):
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m benchmarks.docs_tables"


def test_every_table_stands_on_a_page():
    blocks = [name for page in PAGES for _, name, _ in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert sorted(blocks) == sorted(MADE)


def test_the_page_of_models_names_every_model_with_its_licence():
    rows = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    for model in list_models():
        assert any(f"`{model.name}`" in row and f"| {model.licence} |" in row for row in rows), model.name


def test_the_page_of_training_says_of_every_recipe_what_it_does():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for recipes in RECIPES.values():
        for name, recipe in recipes.items():
            assert re.search(rf"^\| `{name}` \|.*\| {recipe.loss}.*\| [A-Z][^|]*\. \|$", text, re.MULTILINE), name


def test_a_table_keeps_what_stands_around_it():
    page = "before\n<!-- made: errors -->\nold\n<!-- end -->\nafter\n"
    made = filled(page)
    assert made.startswith("before\n<!-- made: errors -->\n```\nKoRerankError\n")
    assert made.endswith("```\n<!-- end -->\nafter\n")
    assert filled(made) == made
