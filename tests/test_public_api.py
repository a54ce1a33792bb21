"""The public names of the package, and that no parameter of theirs is hidden."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import llama_index_ko_rerank as package

PUBLIC = [
    "AdaptSettings",
    "Collection",
    "CollectionSettings",
    "CrossEncoderNodePostprocessor",
    "DurableFaissVectorStore",
    "HybridRetriever",
    "IndexSettings",
    "KoRerankError",
    "KoreanBM25Retriever",
    "KoreanEmbedding",
    "KoreanSentenceSplitter",
    "LearningToRankPostprocessor",
    "RankedNode",
    "ScorerSettings",
    "SearchSystem",
    "adapt_to_documents",
    "build_chat_engine",
    "build_index",
    "build_query_engine",
    "connect_llm",
    "convex_combination",
    "dataset_nodes",
    "evaluate_retrieval",
    "fit_weights",
    "list_models",
    "load_dataset",
    "load_pair_dataset",
    "load_scorer",
    "open_index",
    "reciprocal_rank_fusion",
    "rerank_texts",
    "train_bi_encoder",
    "train_cross_encoder",
    "tune_search",
]
REFUSED = ("unknown", "constants")
"""Open parameters that set nothing: what they hold is refused with the nearest known name."""


def callables_of(name):
    """Yield a public function, or the constructor and the public methods that a class defines itself."""
    value = getattr(package, name)
    if not inspect.isclass(value):
        yield name, value
        return
    for attribute, method in vars(value).items():
        if isinstance(method, classmethod | staticmethod):
            method = method.__func__
        if inspect.isfunction(method) and (attribute == "__init__" or not attribute.startswith("_")):
            yield f"{name}.{attribute}", method


def overrides(name, parameter):
    """Return whether LlamaIndex's method of this name has the same open parameter, which an override has to take."""
    owner, _, method = name.partition(".")
    bases = [base for base in getattr(package, owner).__mro__ if base.__module__.startswith("llama_index.core")]
    return any(
        parameter in inspect.signature(getattr(base, method)).parameters for base in bases if hasattr(base, method)
    )


def test_the_public_names_are_these_and_no_other():
    assert package.__all__ == PUBLIC
    assert dir(package) == PUBLIC
    assert all(getattr(package, name) is not None for name in PUBLIC)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_importing_the_package_loads_no_model_library():
    code = (
        "import sys, llama_index_ko_rerank\n"
        "print(sorted({'torch', 'transformers', 'kiwipiepy', 'llama_index.core', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_visible(name):
    for label, function in callables_of(name):
        for parameter in inspect.signature(function).parameters.values():
            is_open = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            assert not is_open or parameter.name in REFUSED or overrides(label, parameter.name), label
