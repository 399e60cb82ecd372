# The few commands of a checkout. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up demo-update demo-rollback test check unit vm chaos bench docs clean dev
SHELL := /bin/sh
PYTHON := .venv/bin/python

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## build the OS and boot a cluster of three machines with the sample service
	@./argosy setup --yes
	@./argosy up --example hello

demo-update: ## watch an update roll over three machines, with proof that the service never stops
	@./argosy setup --yes
	@./argosy demo update

demo-rollback: ## watch a bad version being stopped by the first machine that tries it
	@./argosy setup --yes
	@./argosy demo rollback

test: ## set up and run all tests
	@ARGOSY_EXTRAS=dev ./argosy setup --tests --yes
	@$(MAKE) --no-print-directory check unit vm

check: dev ## format, lint, types, import rules
	@.ci/check

unit: dev ## the tests that boot no virtual machine
	@$(PYTHON) -m pytest -n auto --dist loadgroup -m 'not vm'

vm: dev ## the tests that boot virtual machines
	@$(PYTHON) -m pytest -n 2 --dist loadfile -m vm

chaos: dev ## thirty power cuts at random moments of updates, in virtual machines
	@$(PYTHON) -m tests.vm.chaos

bench: ## measure, as ratios against references in the same run
	@ARGOSY_EXTRAS=dev,bench ./argosy --help >/dev/null
	@$(PYTHON) -m bench

docs: dev ## check that the docs' links and commands exist
	@$(PYTHON) -m pytest -q tests/docs

clean: ## remove what was built here (clusters are removed by `./argosy destroy`)
	rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis

dev:
	@ARGOSY_EXTRAS=dev ./argosy --help >/dev/null
