PYTHON ?= python3
# Where torch comes from, such as https://download.pytorch.org/whl/cpu; empty: pip's own index.
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)
BIN := .venv/bin

.PHONY: demo test test-all lint table bundles

# torch goes first and by its exact version, so that nothing after it pulls in another build.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade-strategy only-if-needed $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[bundle,export,dev]"
	touch $@

demo: .venv/installed
	$(BIN)/python -m tools.demo

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

table: .venv/installed
	$(BIN)/python -m tools.make_table

bundles: .venv/installed
	$(BIN)/python -m tools.build_bundles
