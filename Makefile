# make demo: fresh machine to report. make test: fresh machine to all checks. PYTHON chooses the interpreter,
# WORKERS how many processes share the tests; each computes with one thread.
PYTHON ?= python3
WORKERS ?= 2
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint types contracts unit constraints clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: install
	$(BIN)/gi-edge demo --force

test: lint types contracts unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# On Python 3.11 as for 3.10, the oldest. NumPy comes with other types for each Python: those for 3.10 are too old for
# this code, and those for 3.12 and later can be read as of that Python only.
types: install
	@case $$($(BIN)/python -c "import sys; print('%d.%d' % sys.version_info[:2])") in \
		3.10) echo "types are checked on Python 3.11 and later" ;; \
		3.11) $(BIN)/mypy ;; \
		*) $(BIN)/mypy --python-version $$($(BIN)/python -c "import sys; print('%d.%d' % sys.version_info[:2])") ;; \
	esac

contracts: install
	$(BIN)/lint-imports --no-cache

unit: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# The newest versions that all supported Pythons agree on; run make test afterwards, and commit both or neither.
constraints: install
	$(BIN)/uv pip compile pyproject.toml --extra all --extra dev --universal --python-version 3.10 \
		--no-header --no-annotate --upgrade --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
