# Two commands are all that a newcomer needs: make demo, make test. Each makes .venv first where it is missing or stale.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3

.PHONY: demo test test-slow test-oldest test-newest lock check bench bench-chat bench-models bench-rerank bench-serve bench-store bench-train

demo: $(READY)
	$(BIN)/ko-rerank demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# The versions that are tested: constraints.txt, constraints-lowest.txt and requirements.lock.
lock:
	$(PYTHON) tools/lock.py

# The fast tests on the floors of pyproject.toml, and on the newest versions that it allows, in throw-away environments.
test-oldest:
	$(PYTHON) tools/try_versions.py constraints-lowest.txt

test-newest:
	$(PYTHON) tools/try_versions.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

bench: $(READY)
	$(BIN)/python -m benchmarks.speed.lexical

bench-rerank: $(READY)
	$(BIN)/python -m benchmarks.rerank.speed

bench-store: $(READY)
	$(BIN)/python -m benchmarks.store.crash
	$(BIN)/python -m benchmarks.store.scale

bench-models: $(READY)
	$(BIN)/python -m benchmarks.quality.models

bench-train: $(READY)
	$(BIN)/python -m benchmarks.train.speed

bench-chat: $(READY)
	$(BIN)/python -m benchmarks.chat.load

bench-serve: $(READY)
	$(BIN)/python -m benchmarks.serve.load

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
