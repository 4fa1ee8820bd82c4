# Needs Python 3.11 or newer, git and make. Everything else is installed into .venv, in the exact versions of
# constraints.txt, the first time that a command needs it, and again when pyproject.toml or constraints.txt changes.
#
#   make PYTHON=python3.12 …   another interpreter
#   make VENV=/tmp/venv …      another environment
#   make test ARGS="-k stack"  arguments for pytest, or for the benchmarks (ARGS=--quick)

PYTHON ?= python3 python3.13 python3.12 python3.11 python3.14 python
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
# What the wheel, and the oldest and newest dependencies, are tried with: what trains, measures and decides, and needs no
# extra and no more than minutes.
CORE := -m "not slow" -k "not curvlinops" tests/estimate tests/training tests/measure tests/test_task.py tests/test_probe.py tests/test_data.py \
  tests/test_losses.py tests/test_continued.py tests/test_public_api.py tests/api tests/decide/test_find_lr.py \
  tests/decide/test_warmup.py tests/runs/test_sweep.py tests/runs/test_ledger.py tests/schedules/test_formulas.py \
  tests/schedules/test_algebra.py tests/schedules/test_drive.py tests/contracts/test_schedules.py
# Twice quiet: errors alone.
PIP := $(BIN)/python -m pip --quiet --quiet --no-input --disable-pip-version-check
INSTALL := $(PIP) install --constraint constraints.txt
PIPX := PIP_CONSTRAINT=$(abspath constraints.txt) PIPX_HOME=$(abspath out/pipx) PIPX_BIN_DIR=$(abspath out/pipx/bin) \
  $(BIN)/pipx

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # two installations into one environment would break each other
.PHONY: help tune test lint format docs picture examples bench regret api faults package compat clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

tune: $(VENV)/.core ## decide how to train a real network on MNIST; the page is out/mnist.html
	@mkdir -p out
	$(BIN)/stepsize tune mnist --report out/mnist.html $(ARGS)

test: $(VENV)/.dev ## run every test, a file at a time on each of up to four cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy --strict, and the contracts between the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

picture: tune ## take README's picture of the report page anew (needs Chromium)
	$(BIN)/python docs/picture.py out/mnist.html docs/images/report.png

examples: $(VENV)/.dev ## run every example; what they write goes to out/
	@mkdir -p out
	@set -e; for example in examples/*.py; do echo "== $$example"; (cd out && $(abspath $(BIN))/python ../$$example); done

bench: $(VENV)/.dev ## measure the engine against its rivals; the tables go to benchmarks/
	$(BIN)/python -m benchmarks.engine $(ARGS)
	$(BIN)/python -m benchmarks.kernels $(ARGS)
	$(BIN)/python -m benchmarks.shared_out $(ARGS)
	$(BIN)/python -m benchmarks.loop $(ARGS)
	$(BIN)/python -m benchmarks.unknown_optimizers $(ARGS)
	$(BIN)/python -m benchmarks.growth $(ARGS)
	$(BIN)/python -m benchmarks.whole_sweep $(ARGS)
	$(BIN)/python -m benchmarks.curvature $(ARGS)
	$(BIN)/python -m benchmarks.scaling $(ARGS)
	$(BIN)/python -m benchmarks.tuning $(ARGS)
	$(BIN)/python -m benchmarks.schedules $(ARGS)
	$(BIN)/python -m benchmarks.chapter $(ARGS)
	$(BIN)/python -m benchmarks.lightning_tuner $(ARGS)

regret: $(VENV)/.regret ## what every rate finder's answers are worth (hours; goes on where it was stopped)
	$(BIN)/python -m benchmarks.regret $(or $(ARGS),--budgets)

api: $(VENV)/.dev ## accept the public interface as it is now: writes tests/api/interface.txt
	$(BIN)/python -m tests.api.interface

faults: $(VENV)/.dev ## disturb every measurement at every third update, from its beginning to its end
	FAULTS=everywhere OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS) tests/faults

# With two threads, unlike `make test`: there runs that share no stack are shared out among processes.
package: $(VENV)/.package ## build the wheel and the sdist, and test the wheel in an environment of its own
	rm -rf dist out/sdist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	mkdir -p out/sdist
	tar -xzf dist/*.tar.gz -C out/sdist --strip-components 1
	rm -rf out/sdist/src # so that nothing but the wheel can be imported
	@echo "Installing the wheel and what it depends on with pipx, in an environment of its own (a minute)"
	rm -rf out/pipx
	$(PIPX) install --quiet --python $(abspath $(BIN))/python dist/*.whl
	out/pipx/bin/stepsize --version
	$(PIPX) inject --quiet stepsize pytest hypothesis
	cd out/sdist && OMP_NUM_THREADS=2 ../pipx/venvs/stepsize/bin/python -m pytest -q -p no:cacheprovider $(CORE)

compat: $(VENV)/.made ## run the core tests with the oldest dependencies that are supported, and with the newest
	PYTHON=$(BIN)/python .ci/compat oldest $(CORE)
	PYTHON=$(BIN)/python .ci/compat newest $(CORE)

clean: ## remove everything that these commands made
	rm -rf $(VENV) build dist out site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples docs -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each set of packages: younger than the two files means nothing to do.

$(VENV)/.made:
	@python=; for name in $(PYTHON); do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "stepsize needs Python 3.11 or newer; tried: $(PYTHON)." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	if ! $$python -m venv $(VENV); then \
	  echo "$$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; \
	fi
	@$(INSTALL) --upgrade pip # dependency groups came with pip 25.1
	@touch $@

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing stepsize into $(VENV), once (some minutes)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.core
	@echo "Installing the test and lint tools into $(VENV), once"
	@$(INSTALL) --group dev
	@$(INSTALL) --no-deps timm # see pyproject.toml, `conformance`
	@$(INSTALL) --no-deps curvlinops-for-pytorch backpack-for-pytorch einconv linear-operator unfoldNd # `curvature`
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/.core
	@echo "Installing the documentation tools into $(VENV), once"
	@$(INSTALL) --group docs
	@touch $@

$(VENV)/.regret: pyproject.toml constraints.txt | $(VENV)/.dev
	@echo "Installing the rivals of find_lr into $(VENV), once"
	@$(INSTALL) --group regret
	@$(INSTALL) --no-deps fastai # see pyproject.toml, `regret`
	@touch $@

$(VENV)/.package: pyproject.toml constraints.txt | $(VENV)/.core
	@echo "Installing the packaging tools into $(VENV), once"
	@$(INSTALL) --group package
	@touch $@
