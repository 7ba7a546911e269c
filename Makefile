PYTHON ?= python3
# Where torch comes from, such as https://download.pytorch.org/whl/cpu; empty: pip's own index.
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)
BIN := .venv/bin
# Volumes as small as those of the tests are computed fastest by one thread: so a process a core, each with one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: demo test test-all lint table bundles

# torch goes first and by its exact version, so that nothing after it pulls in another build.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade-strategy only-if-needed $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[bundle,dicom,export,dev]"
	touch $@

demo: .venv/installed
	$(BIN)/lunet demo --overwrite True

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

table: .venv/installed
	$(BIN)/python -m tools.make_table

bundles: .venv/installed
	$(BIN)/python -m tools.build_bundles
