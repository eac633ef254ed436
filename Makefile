# What pip can install each target installs, with nothing but python3 (with venv) and make. Chromium, telnet and the like,
# an engine: a test says what it misses.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 4
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
FUZZER := $(VENV)/.fuzzer

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(READY) ## the hub: telnet localhost 9000, page on http://127.0.0.1:8080/
	@exec $(BIN)/hubbub serve $(ARGS)

demo: $(READY) ## the hub with made-up clients: telnet in, or open http://127.0.0.1:8080/
	@exec $(BIN)/hubbub demo $(ARGS)

test: $(TOOLS) ## the quick tests (a few minutes on two cores)
	$(BIN)/pytest -m "not long and not browser and not docker" -n $(WORKERS) --dist worksteal $(ARGS)

test-page: $(TOOLS) ## the page in a real Chromium
	$(BIN)/pytest -m "browser and not long" -n $(WORKERS) --dist worksteal $(ARGS) tests/page

test-long: $(TOOLS) ## the tests that take minutes or a lot of memory, under 30 minutes (SLICE=1/4: a part of them)
	$(BIN)/pytest -m "long and not docker" $(if $(SLICE),--slice $(SLICE)) $(ARGS)

test-docker: $(TOOLS) ## the container, built and run on a real engine (docker compose)
	$(BIN)/pytest -m docker $(ARGS)

fuzz: $(FUZZER) ## the parsers under a coverage-guided fuzzer (2 minutes for each; ARGS="--seconds 600 telnet")
	$(BIN)/python -m tests.fuzz.run $(ARGS)

guarantees: $(TOOLS) ## docs/guarantees.md from tests/promises.toml and the tests that hold the promises
	$(BIN)/python -m tests.promises

planted: $(TOOLS) ## plants famous bugs, each in a copy of its own, and names the quick test that catches each
	$(BIN)/python -m tests.faults $(ARGS)

soak: $(TOOLS) ## 10 minutes (ARGS="--minutes 40") of 300 clients, some of them rude, and a verdict
	$(BIN)/python -m bench.soak $(ARGS)

lint: $(TOOLS) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TOOLS) ## mypy --strict on hubbub, hub, web and bench
	$(BIN)/mypy

check: lint types test ## lint, types and the quick tests

format: $(TOOLS) ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

# The project itself, editable: all that `make run` needs. Made again when the list of packages changes.
$(READY): pyproject.toml
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# And what the tests need. Dependency groups came with pip 25.1.
$(TOOLS): $(READY)
	@echo "installing what the tests need ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/pip install --quiet --group test
	@touch $@

# The fuzzer brings a compiled library and is needed by nothing else.
$(FUZZER): $(TOOLS)
	@echo "installing the fuzzer ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --group fuzz
	@touch $@

.PHONY: help run demo test test-page test-long test-docker fuzz guarantees planted soak lint types check format clean
