# make run: environment, model, and the quick configuration. make test: environment and every test.
# make soak: sixty SIGKILLs, and the same bytes; a run folder damaged in every way; 10,000 malformed commands and journal lines; a model that is wrecked.
# make interop: exports compared with PyTorch and llama.cpp, each in its own environment; RUN=logs/NAME takes a run that is there.
# make interop-gguf: the part with llama.cpp, which needs no PyTorch.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: run demo test soak check docs screenshots bench bench-console interop interop-gguf clean

run: $(READY)
	$(VENV)/bin/mindprint-tui configs/quick.yaml

demo: $(READY)
	$(VENV)/bin/mindprint-tui configs/demo.yaml

test: $(READY)
	$(VENV)/bin/python -m pytest

soak: $(READY)
	$(VENV)/bin/python tests/soak/soak.py
	$(VENV)/bin/python tests/soak/fuzz.py
	$(VENV)/bin/python tests/soak/attack.py
	$(VENV)/bin/python tests/soak/collapse.py

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

docs: $(READY)
	$(VENV)/bin/python -m engine.rules.troubleshooting_page docs/TROUBLESHOOTING.md
	$(VENV)/bin/python docs/configuration.py
	$(VENV)/bin/python docs/tree.py

screenshots: $(READY)
	$(VENV)/bin/python docs/screenshots.py

RIVALS := .venv-rivals

# this engine beside mlx-lm, mlx-lm-lora and TRL on one workload: about half an hour on a quiet machine; QUICK=--quick
bench: $(READY) $(RIVALS)/.ready
	$(VENV)/bin/python tests/bench/run.py --rivals $(RIVALS)/bin/python $(QUICK)

$(RIVALS)/.ready: tests/bench/rivals.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/bench/rivals.txt
	@touch $(RIVALS)/.ready

# what the console costs and how fast it answers, beside real training: about ten minutes on a quiet machine
bench-console: $(READY)
	$(VENV)/bin/python tests/bench/console.py

INTEROP := .venv-interop
LLAMACPP := .venv-llamacpp

interop: interop-gguf $(READY) $(INTEROP)/.ready
	$(VENV)/bin/python tests/interop/run.py $(INTEROP)/bin/python $(RUN)

$(INTEROP)/.ready: tests/interop/requirements.txt
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/interop/requirements.txt
	@touch $(INTEROP)/.ready

interop-gguf: $(READY) $(LLAMACPP)/.ready
	$(VENV)/bin/python tests/interop/llamacpp.py $(LLAMACPP)/bin/python $(RUN)

$(LLAMACPP)/.ready: tests/interop/llamacpp.txt
	$(PYTHON) -m venv $(LLAMACPP)
	$(LLAMACPP)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/interop/llamacpp.txt
	@touch $(LLAMACPP)/.ready

clean:
	rm -rf $(VENV) $(INTEROP) $(LLAMACPP) $(RIVALS) build dist *.egg-info
