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
	$(BIN)/python benchmarks/lexical_speed.py

bench-rerank: $(READY)
	$(BIN)/python benchmarks/rerank_speed.py

bench-store: $(READY)
	$(BIN)/python benchmarks/store_crash.py
	$(BIN)/python benchmarks/store_scale.py

bench-models: $(READY)
	$(BIN)/python benchmarks/models_quality.py

bench-train: $(READY)
	$(BIN)/python benchmarks/train_speed.py

bench-chat: $(READY)
	$(BIN)/python benchmarks/chat_load.py

bench-serve: $(READY)
	$(BIN)/python benchmarks/serve_load.py

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
