"""What holds for every test."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import settings

settings.register_profile("busy machines", deadline=None)
settings.load_profile("busy machines")


@pytest.fixture(autouse=True)
def the_process_as_it_was():
    """Undo what a command line may do to its process and a test may not: logging and environment."""
    root, package = logging.getLogger(), logging.getLogger("llama_index_ko_rerank")
    before = root.handlers[:], root.level, package.level, root.manager.disable
    environment = dict(os.environ)
    yield
    root.handlers[:], level, package_level, disabled = before
    root.setLevel(level)
    package.setLevel(package_level)
    logging.disable(disabled)
    os.environ.clear()
    os.environ.update(environment)
