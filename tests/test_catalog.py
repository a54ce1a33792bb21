import dataclasses
import re

import pytest

from llama_index_ko_rerank.catalog import (
    DEFAULT_EMBEDDING,
    DEFAULT_RERANKER,
    UNKNOWN_LICENCE,
    CatalogModel,
    find_model,
    list_models,
)
from llama_index_ko_rerank.errors import InvalidSetting

WANTED_EMBEDDINGS = {
    "e5-small",
    "intfloat/multilingual-e5-small",
    "klue/roberta-base",
    "snunlp/KR-SBERT-V40K-klueNLI-augSTS",
    "jhgan/ko-sroberta-multitask",
    "dragonkue/multilingual-e5-small-ko",
    "dragonkue/BGE-m3-ko",
    "nlpai-lab/KURE-v1",
    "BAAI/bge-m3",
    "dragonkue/snowflake-arctic-embed-l-v2.0-ko",
    "Qwen/Qwen3-Embedding-0.6B",
    "intfloat/e5-mistral-7b-instruct",
}
WANTED_RERANKERS = {
    "klue/roberta-small",
    "Dongjin-kr/ko-reranker",
    "dragonkue/bge-reranker-v2-m3-ko",
    "BAAI/bge-reranker-v2-m3",
    "Qwen/Qwen3-Reranker-0.6B",
}


def known(name: str) -> CatalogModel:
    model = find_model(name)
    assert model is not None
    return model


def test_the_models_that_the_project_promises_are_there():
    assert {model.name for model in list_models("embedding")} >= WANTED_EMBEDDINGS
    assert {model.name for model in list_models("rerank")} >= WANTED_RERANKERS
    assert set(list_models()) == set(list_models("embedding")) | set(list_models("rerank"))


def test_every_name_and_alias_means_one_model():
    names = [name.casefold() for model in list_models() for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    assert all(known(name) is known(name.upper()) for name in names)


def test_an_alias_is_no_path_and_a_name_has_an_owner():
    for model in list_models():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+" if model.is_on_hub else r"[\w.-]+", model.name)
        assert all("/" not in alias for alias in model.aliases)


def test_an_unknown_model_is_none():
    assert find_model("nobody/nothing") is None
    assert find_model("") is None


def test_an_unknown_kind_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidSetting, match="did you mean 'rerank'"):
        list_models("reranker")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "query_prompt", "passage_prompt", "pooling", "max_tokens", "dimension"),
    [
        ("e5-small", "query: ", "passage: ", "mean", 512, 384),
        ("intfloat/multilingual-e5-small", "query: ", "passage: ", "mean", 512, 384),
        ("dragonkue/multilingual-e5-small-ko", "query: ", "passage: ", "mean", 512, 384),
        ("dragonkue/snowflake-arctic-embed-l-v2.0-ko", "query: ", "", "cls", 8192, 1024),
        ("jhgan/ko-sroberta-multitask", "", "", "mean", 128, 768),
        ("nlpai-lab/KURE-v1", "", "", "cls", 8192, 1024),
    ],
)
def test_prompts_pooling_and_lengths_are_those_of_the_cards(
    name, query_prompt, passage_prompt, pooling, max_tokens, dimension
):
    model = known(name)
    assert (model.query_prompt, model.passage_prompt) == (query_prompt, passage_prompt)
    assert (model.pooling, model.max_tokens, model.dimension) == (pooling, max_tokens, dimension)


def test_instructions_stand_before_queries_only_and_end_as_each_card_says():
    qwen, mistral = known("qwen3-embedding"), known("e5-mistral")
    assert qwen.query_prompt.startswith("Instruct: ")
    assert qwen.query_prompt.endswith("\nQuery:")
    assert mistral.query_prompt == qwen.query_prompt + " "
    assert qwen.passage_prompt == mistral.passage_prompt == ""
    assert qwen.pooling == mistral.pooling == "lasttoken"


def test_embeddings_have_a_dimension_and_a_pooling_and_rerankers_have_none():
    assert all(model.dimension and model.pooling for model in list_models("embedding"))
    assert all(model.dimension is None and model.pooling is None for model in list_models("rerank"))


def test_only_the_bases_are_untrained():
    assert {model.name for model in list_models() if not model.trained} == {"klue/roberta-base", "klue/roberta-small"}


def test_the_models_in_the_wheel_lie_beside_the_code_and_are_the_defaults():
    shipped = [model for model in list_models() if model.folder is not None]
    assert [model.name for model in shipped] == [DEFAULT_EMBEDDING, DEFAULT_RERANKER]
    for model in shipped:
        assert {"model.safetensors", "README.md", "tokenizer.json"} <= {file.name for file in model.folder.iterdir()}
    weights = sum(file.stat().st_size for model in shipped for file in model.folder.iterdir())
    assert weights <= 32 * 1024 * 1024


def test_a_revision_is_a_full_commit_hash_or_unknown():
    for model in list_models():
        assert model.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.revision)


def test_every_model_has_a_licence_or_says_that_it_is_unknown():
    for model in list_models():
        assert model.licence in {"mit", "apache-2.0", UNKNOWN_LICENCE}
        assert model.parameters > 0
        assert "\n" not in model.when_to_choose
        assert model.when_to_choose


def test_the_catalog_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        known("kure").name = "other"  # type: ignore[misc]
