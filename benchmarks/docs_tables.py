"""Fill the tables of these pages from code and measurements: what stands between ``<!-- made: NAME -->`` and its end.

python -m benchmarks.docs_tables            # writes the pages
python -m benchmarks.docs_tables --check    # exit code 1 where a page is not what the code says
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import ModuleType

from benchmarks.docs_measured import chat_load_table, ray_table, scale_costs_table, serve_load_table
from llama_index_ko_rerank import errors
from llama_index_ko_rerank.catalog import CatalogModel, ModelKind, list_models
from llama_index_ko_rerank.evaluate.systems import SYSTEMS
from llama_index_ko_rerank.rerank.cross_encoder.postprocessor import CrossEncoderNodePostprocessor
from llama_index_ko_rerank.train.recipes import RECIPES
from llama_index_ko_rerank.train.recipes import bi_encoder as bi_encoder_recipes
from llama_index_ko_rerank.train.recipes import cross_encoder as cross_encoder_recipes
from llama_index_ko_rerank.train.recipes.recipe import Recipe, Schedule

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- made: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[\w)])\.\s+(?=[A-Z])")
_DATA = {"retrieval": "questions with contexts", "sentence-pairs": "sentence pairs"}
_VECTOR_HEAD: dict[ModelKind, tuple[str, ...]] = {"embedding": ("vector", "pooling"), "rerank": ()}
_OF_LLAMA_INDEX = ("callback_manager",)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def models_table(kind: ModelKind) -> str:
    """Write the models of one kind, in the order in which we would try them."""
    return table(
        ("model", "short names", "parameters", "reads", *_VECTOR_HEAD[kind], "licence", "when to choose it"),
        [_model_row(model) for model in list_models(kind)],
    )


def _model_row(model: CatalogModel) -> list[str]:
    vector = [str(model.dimension), str(model.pooling)] if model.kind == "embedding" else []
    link = f"`{model.name}`" if model.in_wheel else f"[`{model.name}`](https://huggingface.co/{model.name})"
    reads = f"{model.max_tokens:,} tokens" if model.max_tokens else "any length"
    aliases = ", ".join(f"`{alias}`" for alias in model.aliases)
    return [link, aliases, f"{model.parameters:,} M", reads, *vector, model.licence, model.when_to_choose]


def prompts_table() -> str:
    """Write what `KoreanEmbedding` puts before questions and passages, for the models that want it."""
    return table(
        ("model", "before a question", "before a passage"),
        [
            [f"`{model.name}`", _code(model.query_prompt), _code(model.passage_prompt)]
            for model in list_models("embedding")
            if model.query_prompt or model.passage_prompt
        ],
    )


def recipes_table(task: str) -> str:
    """Write the recipes of one kind of model, each with the first sentence of its docstring."""
    module = {"bi-encoder": bi_encoder_recipes, "cross-encoder": cross_encoder_recipes}[task]
    says = _docstrings(module)
    return table(
        ("recipe", "learns from", "loss", "from a trained base", "from `scratch`", "options", "what it does"),
        [
            [
                f"`{recipe.name}`",
                " or ".join(_DATA[kind] for kind in recipe.data),
                f"{recipe.loss}, then {recipe.then}" if recipe.then else recipe.loss,
                _schedule(recipe.schedule),
                _schedule(recipe.scratch) if recipe.scratch else "—",
                ", ".join(f"`{option}`" for option in recipe.options) or "—",
                says[recipe.name],
            ]
            for recipe in RECIPES[task].values()  # type: ignore[index]  # one of its two keys
        ],
    )


def _schedule(schedule: Schedule) -> str:
    return f"{schedule.epochs} x, {schedule.batch_size} rows, {schedule.learning_rate:g}"


def _docstrings(module: ModuleType) -> dict[str, str]:
    """Read the first sentence of the string that follows each recipe."""
    says = {}
    body = ast.parse(inspect.getsource(module)).body
    for statement, after in pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            name = statement.targets[0].id  # type: ignore[attr-defined]  # a plain name
            recipe = getattr(module, name)
            if isinstance(recipe, Recipe):
                says[recipe.name] = _first_sentence(str(after.value.value))
    return says


def _first_sentence(text: str) -> str:
    sentence = _SENTENCE_END.split(" ".join(text.split()))[0].replace("``", "`")
    return sentence if sentence.endswith(".") else f"{sentence}."


def systems_table() -> str:
    """Write the systems that `ko-rerank evaluate` knows."""
    return table(("system", "what it is"), [[f"`{name}`", says] for name, (says, _) in SYSTEMS.items()])


def settings_table() -> str:
    """Write the fields of the reranker with their defaults."""
    fields = CrossEncoderNodePostprocessor.model_fields
    return table(
        ("setting", "default", "what it says"),
        [
            [f"`{name}`", f"`{_plain(field.default)}`", str(field.description)]
            for name, field in fields.items()
            if name not in _OF_LLAMA_INDEX
        ],
    )


def _plain(value: object) -> str:
    return repr(getattr(value, "value", value))


def errors_tree() -> str:
    """Write the tree of errors from its docstring."""
    tree = str(errors.__doc__).split("::\n\n", 1)[1]
    return f"```\n{dedent(tree).rstrip()}\n```\n"


def _code(prompt: str) -> str:
    return f"`{prompt}`".replace("\n", "⏎") if prompt else "—"


MADE: dict[str, Callable[[], str]] = {
    "embedding-models": lambda: models_table("embedding"),
    "rerank-models": lambda: models_table("rerank"),
    "prompts": prompts_table,
    "bi-encoder-recipes": lambda: recipes_table("bi-encoder"),
    "cross-encoder-recipes": lambda: recipes_table("cross-encoder"),
    "systems": systems_table,
    "reranker-settings": settings_table,
    "errors": errors_tree,
    "chat-load": chat_load_table,
    "serve-load": serve_load_table,
    "ray": ray_table,
    "scale-costs": scale_costs_table,
}


def filled(text: str) -> str:
    """Put what the code says into the blocks of a page."""
    return BLOCK.sub(lambda block: f"{block[1]}{MADE[block[2]]()}{block[3]}", text)


def main() -> None:
    """Write or check every page."""
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(filled(text), encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"not what the code says: {', '.join(stale)}; run python -m benchmarks.docs_tables")


if __name__ == "__main__":
    main()
