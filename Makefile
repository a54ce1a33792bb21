# Two commands are all that a newcomer needs: make demo, make test. Each makes .venv first where it is missing or stale.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3

.PHONY: demo test test-slow check bench bench-chat bench-models bench-rerank bench-serve bench-store bench-train

demo: $(READY)
	$(BIN)/ko-rerank demo

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

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
