# The same verbs everywhere: `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup demo test contract bench check fix lock clean

help: ## what there is to do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

setup: $(STAMP) ## make .venv with everything, pinned by hash

$(STAMP): requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## compile requirements/*.txt from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent -o requirements/agent.txt
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent --extra hub -c requirements/agent.txt -o requirements/hub.txt
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent --extra hub --extra dev -c requirements/hub.txt -o requirements/dev.txt

LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
