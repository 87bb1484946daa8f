# One word each: `make run` to see Outlive at work, `make test` before sending a change.

PYTHON := .venv/bin/python

# `make run CMD='…'` runs another command; `value` keeps its dollar signs as they were typed.
CMD ?= .venv/bin/python examples/story/story.py

.PHONY: setup run test torture check format reference bench clean

setup:
	@scripts/setup test

run: export COMMAND := $(value CMD)
run:
	@scripts/setup run
	@.venv/bin/outlive run --title "$$COMMAND" --linger 600 -- sh -c "$$COMMAND"

test: check
	$(PYTHON) -m pytest -p randomly -m "not torture"

# Minutes of kills, cuts and flipped bits; `make test` has a short version of each.
torture: setup
	$(PYTHON) -m pytest -p randomly -m torture --timeout 900

check: setup
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

format: setup
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

reference: setup
	@$(PYTHON) scripts/reference.py
	@PYTHONPATH=. $(PYTHON) scripts/servers.py

bench: setup
	@$(PYTHON) -m benchmarks; missed=$$?; benchmarks/.venv/bin/python -m benchmarks.plots; exit $$missed

clean:
	rm -rf .venv benchmarks/.venv benchmarks/results build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
