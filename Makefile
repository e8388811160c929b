# Everything a newcomer needs: make demo, make test. Needs Python 3.11 or newer and make; the rest is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

# One thread a process: the tests already use every core, and two libraries that each take all of them stand in line.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-slow check docs docs-site bench clean

help:  ## Show this help.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("imagrad needs Python 3.11 or newer; %s is %d.%d. Name another: make PYTHON=python3.12 ..." % (sys.executable, *v))'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $(READY)

demo: $(READY)  ## Do the whole paper on the embedded digits (about 2 minutes).
	$(BIN)/imagrad demo

test: $(READY)  ## Run the quick tests (under 5 minutes).
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not slow'

test-slow: $(READY)  ## Run the slow tests alone.
	$(BIN)/python -m pytest -n auto --dist loadgroup -m slow

check: $(READY)  ## Check format, lint, types and architecture.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox --no-venv --session check

docs: $(READY)  ## Write what is generated from the code: docs/cli.md and the figure of docs/engine.md.
	$(BIN)/python docs/make_cli.py > docs/cli.md
	$(BIN)/python docs/make_step_figure.py

docs-site: $(READY)  ## Build the documentation as a site, build/site/index.html, and run its gallery (about a minute).
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/nox --no-venv --session docs

bench: $(READY)  ## Time maps and engines beside the peers', training, data sets; see docs/performance.md.
	$(BIN)/python benchmarks/maps.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/starting.py
	$(BIN)/python benchmarks/derivatives.py
	$(BIN)/python benchmarks/large.py
	$(BIN)/python benchmarks/certificates.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/dataset.py
	$(BIN)/python benchmarks/explorer.py

clean:  ## Remove what was installed and cached; runs/ stays.
	rm -rf .venv .nox .pytest_cache .ruff_cache .hypothesis build dist docs/gallery
