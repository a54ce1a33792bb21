import builtins
import doctest
import inspect
import pickle
import re

import pytest

from llama_index_ko_rerank import errors

LEAF = re.compile(r"^\s*[│├└─\s]*(\w+) \((\w+)\)", re.MULTILINE)
DRAWN = dict(LEAF.findall(errors.__doc__))
CLASSES = {
    name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KoRerankError)
}


def test_every_leaf_is_drawn_in_the_tree_with_its_builtin():
    leaves = {name for name, kind in CLASSES.items() if not kind.__subclasses__()}
    assert leaves == set(DRAWN)


@pytest.mark.parametrize(("name", "builtin"), DRAWN.items())
def test_a_leaf_is_the_builtin_that_a_caller_would_guess(name, builtin):
    assert issubclass(CLASSES[name], getattr(builtins, builtin))


@pytest.mark.parametrize(("name", "builtin"), DRAWN.items())
def test_a_leaf_can_be_caught_as_any_of_its_kinds_and_keeps_its_words(name, builtin):
    for kind in (CLASSES[name], errors.KoRerankError, getattr(builtins, builtin)):
        with pytest.raises(kind, match="연차를 찾지 못했다"):
            raise CLASSES[name]("연차를 찾지 못했다")


@pytest.mark.parametrize("name", DRAWN)
def test_an_error_travels_between_processes(name):
    again = pickle.loads(pickle.dumps(CLASSES[name]("연차")))  # noqa: S301  # our own bytes
    assert (type(again), str(again)) == (CLASSES[name], "연차")


def test_the_branches_hold_the_leaves_that_are_drawn_under_them():
    branch = None
    for line in errors.__doc__.splitlines():
        found = re.match(r"^\s+[├└]── (\w+)$", line)
        branch = found.group(1) if found else branch
        leaf = re.match(r"^\s+[│ ]   [├└]── (\w+) \(", line)
        if leaf:
            assert issubclass(CLASSES[leaf.group(1)], CLASSES[branch])


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("klue-mcr", ["sample", "klue-mrc"], "did you mean 'klue-mrc'? known: klue-mrc, sample"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("x", [], "known: "),
    ],
)
def test_the_nearest_known_name_is_offered(name, known, said):
    assert errors.nearest(name, known) == said


def test_the_examples_in_the_documentation_are_true():
    assert doctest.testmod(errors).failed == 0
