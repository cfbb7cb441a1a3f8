# The same verbs everywhere: `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := hub agent shared
LOCK := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header --quiet

.PHONY: help setup demo test contract bench check fix lock

help: ## what there is to do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

setup: $(STAMP) ## make .venv with everything, pinned by hash

# Both files: pip wants a package that some name with an extra and some without pinned in both forms.
$(STAMP): requirements/hub.txt requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Yardarm needs Python 3.11 or newer: make PYTHON=python3.12 …' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/hub.txt -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## hub, NATS and six sandbox clusters on this machine; ARGS="--repo …" for your own
	@$(BIN)/yardarm demo $(ARGS)

test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

contract: $(STAMP) ## the Kubernetes contract, on the sandbox and on a real API server when one is given
	@$(BIN)/python -m pytest tests/contract $(ARGS)

bench: $(STAMP) ## figures, each beside its floor; ARGS="--only fanout"
	@$(BIN)/python -m tests.bench $(ARGS)

check: $(STAMP) ## lint, format, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(STAMP) ## let ruff repair and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## compile requirements/*.txt from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent -o requirements/agent.txt
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent --extra hub -c requirements/agent.txt -o requirements/hub.txt
	$(BIN)/uv pip compile pyproject.toml $(LOCK) --extra agent --extra hub --extra dev -c requirements/hub.txt -o requirements/dev.txt
