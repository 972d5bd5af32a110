# Everything runs in .venv, which is made when it is missing. A stamp in it says which requirements it holds.

PYTHON ?= python3
PORT ?= 8000
ARGS ?=

BIN := .venv/bin
RUNTIME := .venv/.holds-runtime
DEV := .venv/.holds-dev
FIRST_TESTS := tests/test_tidy.py $(wildcard tests/domain tests/conformance)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test postgres check bench soak docs screenshots clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

serve: $(RUNTIME) ## run kala_es on 127.0.0.1:8000 (PORT=9000 for another, ARGS="..." for more flags)
	@unset MAKEFLAGS MAKEOVERRIDES MAKELEVEL MAKE_TERMOUT MAKE_TERMERR MFLAGS; exec $(BIN)/kala-es serve --port $(PORT) $(ARGS)

test: $(DEV) ## run the whole suite, four tests at a time: most of them wait
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

postgres: $(DEV) ## run the system tests with the log in PostgreSQL, which they start themselves
	@KALA_TESTS_JOBDB=postgres $(BIN)/python -m pytest -n 4 --dist worksteal -m "system and not soak" -rs tests/system $(ARGS)

check: $(DEV) ## format, lint, types, style and the quickest tests, in under a minute
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile quick -m "not system and not slow and not soak" $(FIRST_TESTS)

bench: $(DEV) ## measure load and latency
	@$(BIN)/python -m bench.run $(ARGS)

soak: $(DEV) ## run the soak tests (SOAK_ROUNDS=3 bounds them)
	@$(BIN)/python -m pytest -m soak $(ARGS) || [ $$? -eq 5 ] # 5: there are none

docs: $(DEV) ## write the generated pages of docs/ anew
	@$(BIN)/python tools/generate_docs.py

screenshots: $(DEV) ## write docs/screenshots anew, with Chromium (ARGS="overview jobs" for some pages)
	@$(BIN)/python -m tools.screenshots $(ARGS)

clean: ## remove caches and what was built; .venv and kala-data stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Two makes at a time take turns at the venv, where there is a flock.
LOCK = exec 9<Makefile; if command -v flock >/dev/null; then flock 9; fi
PIP = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "kala_es needs Python 3.11 or newer, which $(PYTHON) is not. Name another: make PYTHON=python3.11 ..." >&2; \
		exit 1; }
	@$(LOCK); [ -x $@ ] || $(PYTHON) -m venv --clear .venv

$(RUNTIME): requirements.txt pyproject.toml | $(BIN)/python
	@$(LOCK); $(PIP) --require-hashes -r requirements.txt && \
		$(PIP) --no-deps --no-build-isolation --editable . && touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@$(LOCK); $(PIP) --require-hashes -r requirements-dev.txt && touch $@
