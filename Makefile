# Everything runs from .venv, which the first target makes by itself; only Python 3.10+ and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# What containers set so that images stay small would have every process of the suite compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint clean bench reference docs

demo: $(STAMP)
	$(BIN)/maixpix demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# The pages of docs/ that are made from the source.
reference: $(STAMP)
	$(BIN)/python docs/made.py

# The site, in out/site. What makes it is no part of the usual installation.
docs: $(STAMP) reference
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/mkdocs build --strict --quiet --site-dir out/site

clean:
	rm -rf $(VENV) out build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("maixpix needs Python 3.10 or newer; this is " + sys.version.split()[0] + " (try: make PYTHON=python3.12)" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[k210,dev]'
	@touch $@
