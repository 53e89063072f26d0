# Every target only calls run.py, which also works on a machine without make: python3 run.py help
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: demo test lint bench chaos fuzz audit live-oracles setup lock messages help

demo: ## Start everything and print its addresses; Ctrl-C stops it. ARGS: --keep --fresh --no-setup
	@$(PYTHON) run.py demo $(ARGS)

test: ## Install what the tests need and run them all. ARGS goes to pytest: make test ARGS="-k words"
	@$(PYTHON) run.py test -- $(ARGS)

lint: ## Format, rules, types and layers
	@$(PYTHON) run.py lint

bench: ## Measure, and compare with the bounds
	@$(PYTHON) run.py bench -- $(ARGS)

fuzz: ## Fire 100,000 hostile requests at every address. ARGS: --requests N --seed N
	@$(PYTHON) run.py fuzz -- $(ARGS)

chaos: ## Break it in the middle of its work and see that nothing is lost or doubled: make chaos TRIALS=1000 SEED=7
	@$(PYTHON) run.py chaos -- $(if $(TRIALS),--trials $(TRIALS)) $(if $(SEED),--seed $(SEED))

audit: ## Look for known holes in every package of the lock files
	@$(PYTHON) run.py audit

live-oracles: ## Let Bitrix24's own Python SDK judge the sandbox (the tests let Xero's do so)
	@$(PYTHON) run.py live-oracles

setup: ## Only install: Python packages and front-end packages
	@$(PYTHON) run.py setup

lock: ## Renew the lock files from the ranges
	@$(PYTHON) run.py lock

messages: ## Find the texts of the interface and bring the catalogues in translations/ up to date
	@$(PYTHON) run.py messages

help: ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
