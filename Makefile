# make run: environment, model, and the quick configuration. make test: environment and every test.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: run demo test check screenshots clean

run: $(READY)
	$(VENV)/bin/mindprint-tui configs/quick.yaml

demo: $(READY)
	$(VENV)/bin/mindprint-tui configs/demo.yaml

test: $(READY)
	$(VENV)/bin/python -m pytest

check: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("mindprint-tui needs Python 3.11 or newer; name one with: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

screenshots: $(READY)
	$(VENV)/bin/python docs/screenshots.py

clean:
	rm -rf $(VENV) build dist *.egg-info
