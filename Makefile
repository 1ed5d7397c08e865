# Every target except system sets up $(VENV) by itself and needs only python3 (3.11 or 3.12) and pip.
#   make demo PYTHON=python3.12                     another interpreter
#   make demo LOCK=envs/lock-gpu-py311.txt          with the CUDA libraries
#   make test PYTEST_ARGS="-x tests/unit"           fewer tests
VENV ?= .venv
PYTHON ?=
LOCK ?=
CORES ?= 2
PYTEST_ARGS ?=
APP_ARGS ?=
SNAKEFILES = $(wildcard Snakefile workflow/Snakefile workflow/check/Snakefile workflow/rules/*.smk)

SHELL := /bin/bash
export PATH := $(abspath $(VENV))/bin:$(PATH)

# The name has the interpreter and lock of the call, so that a call with others installs again.
INSTALLED := $(VENV)/.installed$(addprefix -,$(notdir $(PYTHON)) $(notdir $(LOCK)))
INSTALLED := $(subst $() -,-,$(INSTALLED))

.DEFAULT_GOAL := help
.PHONY: help demo dryrun app system docs test test-all foreign lint schema lock wheelhouse clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

$(INSTALLED): pyproject.toml envs/venv.sh envs/install.sh envs/lock-py311.txt envs/lock-py312.txt $(LOCK)
	@envs/venv.sh $(VENV) "$(PYTHON)" $(LOCK)
	@touch $@

# A release is never changed, and a second one would spend the same people's budget again.
DEMO_RELEASE = results/demo/release/posterior

demo: $(INSTALLED) ## the demo study: simulated people, from recordings to tables, figures and a private data set
	snakemake --cores $(CORES)
	@test -d $(DEMO_RELEASE) || \
	    python scripts/release.py config/demo.yaml --model posterior --subjects 10 --out $(DEMO_RELEASE)
	@python $(DEMO_RELEASE)/verify.py

dryrun: $(INSTALLED) ## the demo's plan; runs nothing
	snakemake --dry-run

app: $(INSTALLED) ## the front end in the browser, for synthetic data from trained models; APP_ARGS="--port 8600"
	python -m pulseveil.app $(APP_ARGS)

SYSTEM_PACKAGES = chromium chromium-driver \
    mariadb-server munge slurm-client slurm-wlm-basic-plugins slurmctld slurmd slurmdbd

system: ## SLURM, MariaDB and Chromium from Debian's packages, for tests on a cluster and in a browser; needs root
	@set -e; \
	if ! command -v apt-get >/dev/null; then \
	    echo "make system: found no apt-get; install these packages yourself: $(SYSTEM_PACKAGES)" >&2; exit 1; fi; \
	found=$$(dpkg-query --show --showformat='$${db:Status-Status}\n' $(SYSTEM_PACKAGES) 2>/dev/null \
	    | grep --count --line-regexp installed || true); \
	if [ "$$found" -eq $(words $(SYSTEM_PACKAGES)) ]; then exit 0; fi; \
	if [ "$$(id -u)" -ne 0 ]; then \
	    echo "make system: expected root, to install: $(SYSTEM_PACKAGES)" >&2; exit 1; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get --quiet --quiet update; \
	apt-get --quiet --quiet --yes install --no-install-recommends $(SYSTEM_PACKAGES)

docs: $(INSTALLED) ## the documentation as a site, without network: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

# All tests of a file run in one process, because they share fixtures. Tests on a cluster mostly wait: several clusters
# run in parallel. Two processes of other tests left a tenth of two cores idle; three took 15 % less time on 154 of them.
WORKERS ?= 3
CLUSTERS ?= 4
define RUN_TESTS
pytest -m "not slurm $(1)" -n $(WORKERS) --dist loadfile
pytest -m "slurm $(1)" -n $(CLUSTERS) --dist worksteal tests/slurm
endef

test: $(INSTALLED) ## all tests except the slow ones
ifeq ($(PYTEST_ARGS),)
	$(call RUN_TESTS,and not slow)
else
	pytest -m "not slow" $(PYTEST_ARGS)
endif

test-all: $(INSTALLED) ## all tests
ifeq ($(PYTEST_ARGS),)
	$(call RUN_TESTS)
else
	pytest $(PYTEST_ARGS)
endif

# In an environment of their own: jax and torch are large, and change releases of the lock.
FOREIGN ?= .venv-foreign

$(FOREIGN)/.installed: $(INSTALLED) envs/foreign.txt
	@envs/venv.sh $(FOREIGN) "$(PYTHON)" $(LOCK)
	$(FOREIGN)/bin/python -m pip install -qq --requirement envs/foreign.txt
	@touch $@

foreign: $(FOREIGN)/.installed ## checks against jax-privacy and Opacus, in an environment of their own
	$(FOREIGN)/bin/python -m pytest tests/foreign

lint: $(INSTALLED) ## style, types and workflow checks
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check $(SNAKEFILES)
	snakemake --lint

schema: $(INSTALLED) ## config/schema.json and the key table of config/README.md
	python scripts/schema.py

# Keeps existing pins. For newer releases: make lock UV_ARGS=--upgrade. Resolved for Linux.
LOCK_EXTRAS = --extra app --extra audit --extra dev --extra docs --extra onnx --extra privacy --extra slurm
COMPILE = uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate $(UV_ARGS)
# One line per package, so that grep finds packages and lines without a hash.
JOIN_LINES = sed -i -e ':a' -e '/\\$$/{N;s/ *\\\n */ /;ba' -e '}'

lock: $(INSTALLED) ## the lock files from pyproject.toml
	$(COMPILE) $(LOCK_EXTRAS) --python-version 3.11 --output-file envs/lock-py311.txt
	$(COMPILE) $(LOCK_EXTRAS) --python-version 3.12 --output-file envs/lock-py312.txt
	$(COMPILE) $(LOCK_EXTRAS) --extra gpu --python-version 3.11 --output-file envs/lock-gpu-py311.txt
	$(JOIN_LINES) envs/lock-*.txt

wheelhouse: $(INSTALLED) ## package files of the lock for machines without network: PIP_NO_INDEX=1 PIP_FIND_LINKS=wheelhouse make demo
	tag=$$(python -c 'import sys; print("py%d%d" % sys.version_info[:2])'); \
	pip download -qq --no-deps --ignore-requires-python --no-build-isolation --require-hashes \
	    --requirement $(or $(LOCK),envs/lock-$$tag.txt) --dest wheelhouse

clean: ## caches and build products; results/ and $(VENV) stay
	rm -rf build dist wheelhouse workflow/pulseveil.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path './.*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
