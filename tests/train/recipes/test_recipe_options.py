import pytest

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.train import RECIPES, override_recipe
from llama_index_ko_rerank.train.recipes import find_recipe

BI, CROSS = RECIPES["bi-encoder"], RECIPES["cross-encoder"]


def test_no_option_leaves_a_recipe_as_it_is():
    assert override_recipe(BI["strong"]) is BI["strong"]


def test_an_option_takes_the_place_of_the_recipe_s_own_setting():
    changed = override_recipe(
        BI["strong"], negatives=2, matryoshka_dims=[256, 64], space_drop_rate=0.0, cross_encoder_filter="folder"
    )

    assert changed.mining.negatives == 2
    assert (changed.matryoshka_dims, changed.space_drop_rate, changed.cross_encoder_filter) == (
        (256, 64),
        0.0,
        "folder",
    )
    assert BI["strong"].mining.negatives == 4


def test_the_loss_of_sts_and_of_the_second_stage_are_chosen_by_short_names():
    assert override_recipe(BI["sts"], loss="cosine").loss == "CosineSimilarityLoss"
    listwise = override_recipe(CROSS["strong"], loss="listnet")
    assert (listwise.loss, listwise.then) == ("BinaryCrossEntropyLoss", "ListNetLoss")


def test_the_alpha_of_adapters_follows_their_rank():
    lora = override_recipe(BI["e5-mistral"], lora_rank=4, merge_adapter=True).lora

    assert (lora.rank, lora.alpha, lora.merged) == (4, 8, True)


@pytest.mark.parametrize(
    ("task", "name", "option", "message"),
    [
        ("bi-encoder", "book-mrc", {"negatives": 3}, "takes no negatives; it belongs to 'strong' and 'e5-mistral'"),
        ("cross-encoder", "strong", {"teacher": "x"}, "it belongs to 'distil'"),
        ("cross-encoder", "classify", {"matryoshka_dims": [8]}, "takes no matryoshka_dims$"),
        ("bi-encoder", "strong", {"negatives": 0}, "negatives must be 1 or more"),
        ("bi-encoder", "strong", {"space_drop_rate": 1.5}, "share of the questions"),
        ("bi-encoder", "static", {"matryoshka_dims": [0]}, "lengths of 1 or more"),
        ("bi-encoder", "sts", {"loss": "cosents"}, "did you mean 'cosent'"),
        ("bi-encoder", "e5-mistral", {"lora_rank": 0}, "lora_rank must be 1 or more"),
        ("cross-encoder", "classify", {"class_names": ["예", "예"]}, "different names"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(task, name, option, message):
    with pytest.raises(InvalidSetting, match=message):
        override_recipe(RECIPES[task][name], **option)


def test_two_kinds_of_model_may_have_a_recipe_of_one_name():
    for task in ("bi-encoder", "cross-encoder"):
        assert find_recipe("strong", task=task, data="retrieval").task == task


def test_a_recipe_with_options_is_checked_like_a_name():
    with pytest.raises(InvalidSetting, match="trains a cross-encoder, not a bi-encoder"):
        find_recipe(CROSS["distil"], task="bi-encoder", data="retrieval")


def test_every_option_that_a_recipe_names_can_be_given():
    values = {
        "loss": None, "negatives": 2, "matryoshka_dims": [8], "space_drop_rate": 0.1, "cross_encoder_filter": "a",
        "teacher": "a",
        "embed_model": "a", "instruction": "a", "lora_rank": 2, "merge_adapter": True, "class_names": ["예", "아니요"],
    }  # fmt: skip
    for recipes in RECIPES.values():
        for recipe in recipes.values():
            given = {option: values[option] for option in recipe.options}
            assert override_recipe(recipe, **given).name == recipe.name
