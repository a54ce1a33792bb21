import pytest

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train.recipes import RECIPES, find_recipe


@pytest.mark.parametrize(
    ("task", "data", "name"),
    [
        ("bi-encoder", "retrieval", "book-mrc"),
        ("bi-encoder", "sentence-pairs", "book-sts"),
        ("cross-encoder", "retrieval", "book-rerank"),
        ("cross-encoder", "sentence-pairs", "book-rerank"),
    ],
)
def test_without_a_name_the_data_choose_the_recipe(task, data, name):
    assert find_recipe(None, task=task, data=data).name == name


def test_a_misspelt_recipe_names_the_nearest_one():
    with pytest.raises(InvalidSetting, match="did you mean 'book-mrc'"):
        find_recipe("book-mcr", task="bi-encoder", data="retrieval")


def test_a_recipe_for_the_other_kind_of_model_is_refused():
    with pytest.raises(InvalidSetting, match="trains a cross-encoder, not a bi-encoder; take 'book-mrc'"):
        find_recipe("book-rerank", task="bi-encoder", data="retrieval")


def test_a_recipe_for_other_data_is_refused():
    with pytest.raises(InvalidSetting, match=r"learns from labelled sentence pairs.*take 'book-mrc'"):
        find_recipe("book-sts", task="bi-encoder", data="retrieval")


def test_the_book_s_figures_are_in_its_recipes():
    sts, mrc = (RECIPES["bi-encoder"][name] for name in ("book-sts", "book-mrc"))
    rerank = RECIPES["cross-encoder"]["book-rerank"]

    assert (sts.loss, sts.schedule.epochs, sts.schedule.batch_size) == ("CosineSimilarityLoss", 4, 16)
    assert (mrc.loss, mrc.schedule.epochs, mrc.batches) == ("MultipleNegativesRankingLoss", 1, "no-duplicates")
    assert (rerank.loss, rerank.schedule.epochs, rerank.schedule.batch_size) == ("BinaryCrossEntropyLoss", 1, 16)
    assert {recipe.schedule.warmup_steps for recipe in (sts, mrc, rerank)} == {100}
