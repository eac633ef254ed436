# Every target sets up what it needs with nothing but python3 (with venv) and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(STAMP) ## the hub: telnet localhost 9000, page on http://127.0.0.1:8080/
	@exec $(BIN)/hubbub serve $(ARGS)

test: $(STAMP) ## the quick tests (a few minutes)
	$(BIN)/pytest -m "not long" $(ARGS)

test-long: $(STAMP) ## the tests that take minutes or a lot of memory
	$(BIN)/pytest -m long $(ARGS)

lint: $(STAMP) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict on hub and web
	$(BIN)/mypy

check: lint types test ## all three: what CI runs

format: $(STAMP) ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# An editable install of the project and its test group; made again when the list of packages changes.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --group test --editable .
	@touch $@

.PHONY: help run test test-long lint types check format clean
