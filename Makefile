# Targets for people; `make help` lists them. Needs python3 >= 3.11 and make, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DRIVER := $(VENV)/.browser-driver

.PHONY: help run smoke browser test check format docs client bench chaos search scenarios calendar lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start everything, bill a demo lead, pay a top-up and a plan, show the results (Ctrl-C stops)
	@exec $(BIN)/python -m devstack run

smoke: $(INSTALLED) ## The same on free ports and throw-away data; checks the outcome, exits 0 or 1
	@$(BIN)/python -m devstack smoke

browser: $(DRIVER) ## Install what the browser tests drive Chromium with (54 MB); without it they skip

test: $(INSTALLED) ## Run all tests (real PostgreSQL, Redis, workers and HTTP)
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(INSTALLED) ## Lint, format, types and the import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

docs: $(INSTALLED) ## Run the examples of docs/ and write what they print into the pages
	@$(BIN)/python -m tests.docs.record

client: $(INSTALLED) ## Build the client for platforms as a wheel in dist/, without a network
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		--no-index --wheel-dir dist ./billing_client
	@for wheel in dist/*.whl; do \
		echo "$$wheel"; \
		echo "Install it:   pip install $$wheel"; \
		echo "With extras:  pip install '$$wheel[flask,celery,async]'"; \
	done

bench: $(INSTALLED) ## Measure receiver, Celery door, ledger, drain, payments; print ratios taken side by side
	@$(BIN)/python -m benchmarks

chaos: $(INSTALLED) ## The long kill-everything run (the short one is part of `make test`)
	@$(BIN)/python -m pytest tests/acceptance/test_chaos.py --chaos-rounds=10 -s

search: $(INSTALLED) ## Search for a counter-example in the ledger: 200,000 steps, half an hour
	@$(BIN)/python -m pytest tests/billing/ledger/test_machine.py -k history --machine-steps=200000 -s

scenarios: $(INSTALLED) ## 500 payment scenarios with misbehaving gateways, by seed
	@$(BIN)/python -m pytest tests/scenarios --payment-seeds=500 -s

calendar: $(INSTALLED) ## Ten worlds of 200 plans in 40 zones, three years each, with outages and doubled ticks
	@$(BIN)/python -m pytest tests/scenarios/test_calendar.py --calendar-seeds=10 -s

lock: $(INSTALLED) ## Resolve requirements.lock again, for every supported Python
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --group dev pyproject.toml --output-file requirements.lock --upgrade
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --group browser --constraint requirements.lock \
		--output-file requirements-browser.lock --upgrade

clean: ## Remove the environment, all development data and the built client
	@rm -rf $(VENV) .data dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(DRIVER): requirements-browser.lock $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-browser.lock
	@touch $@

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@# The client is a distribution of its own; here it is the one of this checkout, by a link.
	@ln -sfn "$(CURDIR)/billing_client" \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/billing_client"
	@touch $@
