# Every target does its own set-up: the first one to run makes the environment.
#   make test                    default stack (onedl), in .venv
#   make test STACK=openmmlab    original OpenMMLab, in .venv-openmmlab

STACK ?= onedl
RELEASE_VENV ?= .venv-release
VENV ?= $(if $(filter onedl,$(STACK)),.venv,.venv-$(STACK))
PYTEST_ARGS ?=
# Idle processes take over tests; neighbours, which share what it took long to
# make, mostly stay together.
PYTEST = '$(ENV_PYTHON)' -m pytest --numprocesses 2 --dist worksteal

SHELL := bash
# The environment's interpreter, absolute: the demo changes directories.
ENV_PYTHON = $(abspath $(VENV))/bin/python
RELEASE_PYTHON = $(abspath $(RELEASE_VENV))/bin/python
# Of the right version where the stack's environment stands already.
BASE_PYTHON = $(or $(PYTHON),$(wildcard $(ENV_PYTHON)),python3)
# The working tree's code runs, wherever an environment was made.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-layers test-gpu lint format docs dist env release-env clean

help: ## Show this list
	@echo 'make TARGET [STACK=onedl|openmmlab] [PYTHON=python3.11] [PYTEST_ARGS=...]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: env ## Train and test a small Mask R-CNN with FDConv on made-up data
	@PYTHON='$(ENV_PYTHON)' bash tools/demo/run.sh

test: env ## Run the whole test suite
	@echo 'Testing on stack $(STACK)'
	@$(PYTEST) $(PYTEST_ARGS)

test-core: env ## Run the tests marked `core`
	@echo 'Testing the core on stack $(STACK)'
	@$(PYTEST) -m core $(PYTEST_ARGS)

# Torch alone, of any version: what the layers promise needs no more. The version
# is named, so a limit that the machine's pip has (PIP_CONSTRAINT) is lifted.
test-layers: TORCH_VENV = .venv-torch-$(TORCH)
test-layers: ## Test the layers' contract on a torch of its own, TORCH=1.13.1
	@test -n '$(TORCH)' || { echo 'make test-layers: name a version, as in TORCH=1.13.1'; exit 2; }
	@test -e '$(TORCH_VENV)/made' || { \
	  '$(BASE_PYTHON)' -m venv --clear "$$(realpath -m '$(TORCH_VENV)')" && \
	  PIP_CONSTRAINT=/dev/null '$(TORCH_VENV)/bin/python' -m pip install --quiet 'torch==$(TORCH)' 'numpy<2' hypothesis pytest setuptools && \
	  touch '$(TORCH_VENV)/made'; }
	@'$(TORCH_VENV)/bin/python' -m pytest $(addprefix tests/layers/test_,contract.py fadconv.py fdconv.py published_vectors.py) $(PYTEST_ARGS)

test-gpu: env ## Run what needs a CUDA device, and time a ResNet-50 on it
	@'$(ENV_PYTHON)' -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "make test-gpu: this PyTorch sees no CUDA device")'
	@'$(ENV_PYTHON)' -m pytest -m gpu $(PYTEST_ARGS)
	@'$(ENV_PYTHON)' tools/benchmark.py --device cuda --model resnet50 --methods FDConv ODConv --batch 2 --shapes 800x1344
	@'$(ENV_PYTHON)' tools/benchmark.py --device cuda --model resnet50 --methods FDConv ODConv --batch 16 --shapes 512x512

lint: env ## Check style, formatting and metafiles
	@'$(ENV_PYTHON)' -m ruff check .
	@'$(ENV_PYTHON)' -m ruff format --check .
	@'$(ENV_PYTHON)' .dev_scripts/check_metafile.py

format: env ## Format the code and mend what ruff can mend
	@'$(ENV_PYTHON)' -m ruff check --fix .
	@'$(ENV_PYTHON)' -m ruff format .

docs: env release-env ## Build the site into build/site/html, strictly
	@'$(ENV_PYTHON)' -m ruff check --quiet --select D100,D101,D102,D103,D104,D106 mmfdconv # docstrings are pages
	@'$(ENV_PYTHON)' .dev_scripts/site/commands.py build/site/commands.md
	@'$(RELEASE_PYTHON)' -m mkdocs build --strict

dist: release-env ## Build wheel and sdist into dist/, and check them
	rm -rf build/lib build/bdist.* dist
	@'$(RELEASE_PYTHON)' -m build --no-isolation .
	@'$(RELEASE_PYTHON)' -m twine check --strict dist/*
	rm -rf *.egg-info # else the working tree passes for an installed package

env: ## Make the environment of STACK, unless it is there
	@PYTHON='$(PYTHON)' bash .dev_scripts/setup_env.sh '$(STACK)' '$(VENV)'

release-env: ## Make the environment that builds site and release, unless it is there
	@cmp -s requirements/release.txt '$(RELEASE_VENV)/pins.txt' || { \
	  '$(BASE_PYTHON)' -m venv --clear "$$(realpath -m '$(RELEASE_VENV)')" && \
	  '$(RELEASE_PYTHON)' -m pip install --quiet --requirement requirements/release.txt && \
	  cp requirements/release.txt '$(RELEASE_VENV)/pins.txt'; }

clean: ## Remove build files and caches (environments, data and results stay)
	rm -rf build dist *.egg-info mmfdconv/.mim .pytest_cache .ruff_cache .hypothesis
	find mmfdconv configs tools tests .dev_scripts -name __pycache__ -type d -prune -exec rm -rf {} +
