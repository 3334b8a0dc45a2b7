# Everything a newcomer needs: `make demo` and `make test`. See README.md.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
MARKS ?= not slow and not browser
# Two processes side by side, each with a database of its own; what shares a module's fixtures stays together.
SPLIT ?= -n 2 --dist loadscope

# A stamp names the requirements that are installed: changed requirements, another stamp, another install.
STAMP := $(VENV)/.installed-$(shell cat requirements.txt | sha256sum | cut -c1-12)
DEV_STAMP := $(VENV)/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | sha256sum | cut -c1-12)
# mypy and the checks of Django read the settings, and open no connection.
WITH_SETTINGS := $(BIN)/python -m config.environment --no-servers

.PHONY: help setup demo test test-slow test-browser peers bench check lint types imports migrations flows docs format clean

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

setup: $(DEV_STAMP)  ## Create the environment and install everything, pinned

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11"; exit 1; }
	@echo "Creating the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python -m venv failed (on Debian: apt install python3.11-venv)"; exit 1; }

$(STAMP): | $(BIN)/python
	@echo "Installing requirements.txt into $(VENV): about 2 GB with TensorFlow, some minutes the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements.txt
	@touch $@

$(DEV_STAMP): $(STAMP)
	@echo "Installing requirements-dev.txt into $(VENV)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

demo: $(STAMP)  ## The whole house on this machine: phone, officers' rooms, workers, operator; Ctrl-C ends it
	@exec $(BIN)/python -m config.demo

test: $(DEV_STAMP)  ## All tests but the long ones, on PostgreSQL and Redis of our own
	$(BIN)/python -m pytest $(SPLIT) -m "$(MARKS)"

test-slow: $(DEV_STAMP)  ## Proofs with real processes: crashes, the whole demo, a model trained
	$(BIN)/python -m pytest -m slow

test-browser: $(DEV_STAMP)  ## The phone and the officers' rooms in headless Chromium
	$(BIN)/python -m pytest -m browser

peers: $(STAMP)  ## What `manage.py evaluate` judges the network beside, in an environment of its own
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-peers.txt

bench: $(DEV_STAMP)  ## One JSON object a line: what was measured, and its reference from the same run
	@$(BIN)/python -m tests.bench

check: lint types imports migrations flows docs  ## Lint, types, imports, migrations, the conversation, the docs

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(WITH_SETTINGS) $(BIN)/mypy .

imports: $(DEV_STAMP)
	$(BIN)/lint-imports

migrations: $(DEV_STAMP)
	$(BIN)/python manage.py makemigrations --check --dry-run

flows: $(DEV_STAMP)
	$(WITH_SETTINGS) $(BIN)/python manage.py flows check

docs: $(DEV_STAMP)
	$(BIN)/python -m pytest -q $(SPLIT) tests/docs

format: $(DEV_STAMP)  ## Put the code into its usual shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove data and caches, not the environment
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
