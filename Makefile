# Everything runs in .venv, which `make setup` fills from pyproject.toml and constraints.txt; nothing else is touched.
#
#   make setup   fill .venv; again only when pyproject.toml or constraints.txt have changed
#   make demo    see two nights of a sync; LEADS=file.csv with your own rows
#   make test    run the tests, two at a time; ARGS="-k name" is passed to pytest
#   make lint    check style and types
#   make clean   remove .venv and what tools have left
#
# PYTHON=/path/to/python3.12 chooses the interpreter; otherwise it is the newest one found.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: setup demo test lint constraints clean

CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3)
VENV_PYTHON := .venv/bin/python
STAMP := .venv/complete
# Runs, is a version that this project and Airflow support, and can make environments.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

# The caller's settings for Python, pip's target and Airflow are for other projects than this one.
unexport $(filter PYTHON% AIRFLOW% _AIRFLOW% VIRTUAL_ENV% CONDA_%,$(.VARIABLES))
unexport PIP_CONSTRAINT PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_USER

setup: $(STAMP)
	@:

# A stamp that is there but too old metadata a complete environment, good for an update. Without one, an install may have
# been interrupted, and the environment is made anew.
$(STAMP): pyproject.toml constraints.txt
	@for python in $(CANDIDATES); do \
		"$$python" -c '$(USABLE)' >/dev/null 2>&1 && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'No usable Python: this needs 3.11, 3.12 or 3.13 with its venv module.' >&2; \
		echo 'Install one (on Debian and Ubuntu: python3 and python3-venv), or name it: make setup PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	fi; \
	if [ -e $@ ] && $(VENV_PYTHON) -c '' 2>/dev/null; then \
		echo 'Updating .venv'; rm -f $@; \
	else \
		echo "Filling .venv with $$("$$python" --version); this takes a minute, once"; "$$python" -m venv --clear .venv; \
	fi && \
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]' && \
	touch $@

# A relative LEADS is a file where the caller stands, also with `make -C`.
demo: setup
	@case "$$LEADS" in \
		'' | /*) ;; \
		*) [ -e "$(PWD)/$$LEADS" ] && LEADS="$(PWD)/$$LEADS" || LEADS="$$PWD/$$LEADS" ;; \
	esac; \
	export LEADS; \
	exec $(VENV_PYTHON) -m demo

test: setup
	@$(VENV_PYTHON) -m pytest -n 2 --no-loadscope-reorder $(ARGS)

lint: setup
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

# Pins anew what constraints.txt pins; needs uv.
constraints:
	uv pip compile --quiet --universal --python-version 3.11 --upgrade --extra dev --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
