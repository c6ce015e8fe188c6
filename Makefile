# Everything runs in .venv, which `make setup` fills from pyproject.toml and constraints.txt; nothing else is touched.
#
#   make              list these
#   make setup        fill .venv; again only when pyproject.toml or constraints.txt have changed
#   make demo         see two nights of a sync; LEADS=file.csv: with your own rows; MAPPING=file.json: and the fields of
#                     their columns, {"E-mail": "EmailAddress"}; KEEP=1: keep all up until Ctrl-C
#   make test         run all tests, three at a time; ARGS=--cov: and measure their coverage, which doubles their time
#   make test-fast    run unit, sandbox and sync tests
#   make test-floors  run tests with the lowest supported version of everything, in .venv-floors
#   make test-matrix  run tests on each supported Airflow and Python, in .venv-matrix, and write what passed into README
#                     and docs/versions.md; ONLY="3.1.8-3.12 …" chooses some; with ARGS nothing is written
#   make test-mariadb run the tests with a MariaDB, in .venv-mariadb; needs mariadb-server and libmariadb-dev
#   make test-browser run the tests in a browser, in .venv-browser; needs chromium
#   make holes        check that the tests notice each fault that tests/holes/*.patch plants; ARGS names some
#   make simulate     run simulated nights, as docs/simulation.md has it; SEEDS=1-100 NIGHTS=10000 chooses them
#   make chaos        run tasks while databases, networks and disks die, as docs/reliability.md has it: about an hour;
#                     ARGS="--kind postgres --rows 1000" for less
#   make bench        measure all that docs/performance.md shows and write it there, in .venv-bench: about 20 minutes on
#                     an idle machine of 2 cores; ARGS names some of its parts
#   make docs         build the documentation as a site in build/docs; warnings are errors
#   make package      build wheel and sdist in dist, install the wheel in .venv-package and check all of it
#   make lint         check style, spelling and types
#   make constraints  pin the dependencies anew; needs uv
#   make clean        remove .venv, .venv-… and what tools have left
#
# ARGS="-k name" is passed to pytest.
#
# PYTHON=/path/to/python3.12 chooses the interpreter; otherwise it is the newest one found.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-fast test-floors test-matrix test-mariadb test-browser holes simulate chaos bench docs package lint constraints clean

CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3)
FLOORS_CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3)
VENV_PYTHON := .venv/bin/python
STAMP := .venv/complete
FLOORS_PYTHON := .venv-floors/bin/python
FLOORS_STAMP := .venv-floors/complete
MARIADB_PYTHON := .venv-mariadb/bin/python
MARIADB_STAMP := .venv-mariadb/complete
BENCH_PYTHON := .venv-bench/bin/python
BENCH_STAMP := .venv-bench/complete
BROWSER_PYTHON := .venv-browser/bin/python
BROWSER_STAMP := .venv-browser/complete
PACKAGE_PYTHON := .venv-package/bin/python
PACKAGE_STAMP := .venv-package/complete
# Runs, is a version that this project and Airflow support, and can make environments.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

# The caller's settings for Python, pip's target and Airflow are for other projects than this one.
unexport $(filter PYTHON% AIRFLOW% _AIRFLOW% VIRTUAL_ENV% CONDA_%,$(.VARIABLES))
unexport PIP_CONSTRAINT PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_USER

# The first target, so the one of a bare `make`: what this file says of itself.
help:
	@sed -n 's/^#   //p; s/^# \([A-Z]*=\)/\1/p; /^SHELL/q' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)
	@:

# Fill an environment: 1 its folder, 2 the interpreters to try, 3 the constraints, 4 what to install.
#
# A stamp that is there but too old marks a complete environment, good for an update. Without one, an install may have
# been interrupted, and the environment is made anew.
define fill
	@for python in $(2); do \
		"$$python" -c '$(USABLE)' >/dev/null 2>&1 && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'No usable Python: this needs 3.11, 3.12 or 3.13 with its venv module.' >&2; \
		echo 'Install one (on Debian and Ubuntu: python3 and python3-venv), or name it: make setup PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	fi; \
	if [ -e $@ ] && $(1)/bin/python -c '' 2>/dev/null; then \
		echo 'Updating $(1)'; rm -f $@; \
	else \
		echo "Filling $(1) with $$("$$python" --version); this takes a minute, once"; "$$python" -m venv --clear $(1); \
	fi && \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-input -c $(3) $(4) && \
	touch $@
endef

$(STAMP): pyproject.toml constraints.txt
	$(call fill,.venv,$(CANDIDATES),constraints.txt,-e '.[dev]')

$(FLOORS_STAMP): pyproject.toml constraints-floors.txt
	$(call fill,.venv-floors,$(FLOORS_CANDIDATES),constraints-floors.txt,-e '.[test]')

$(MARIADB_STAMP): pyproject.toml constraints.txt
	$(call fill,.venv-mariadb,$(CANDIDATES),constraints.txt,-e '.[dev-mysql]')

$(BENCH_STAMP): pyproject.toml constraints.txt
	$(call fill,.venv-bench,$(CANDIDATES),constraints.txt,-e '.[bench]')

$(BROWSER_STAMP): pyproject.toml constraints.txt
	$(call fill,.venv-browser,$(CANDIDATES),constraints.txt,-e '.[browser]')

$(PACKAGE_STAMP): pyproject.toml constraints.txt
	$(call fill,.venv-package,$(CANDIDATES),constraints.txt,'build>=1.2.2' 'twine>=6.1')

# A relative file is one where the caller stands, also with `make -C`.
demo: setup
	@absolute() { \
		case "$$1" in \
			'' | /*) echo "$$1" ;; \
			*) [ -e "$(PWD)/$$1" ] && echo "$(PWD)/$$1" || echo "$$PWD/$$1" ;; \
		esac; \
	}; \
	LEADS=$$(absolute "$$LEADS") MAPPING=$$(absolute "$$MAPPING") exec $(VENV_PYTHON) -m demo

PYTEST_OPTIONS := -n 3 --no-loadscope-reorder

test: setup
	@$(VENV_PYTHON) -m pytest $(PYTEST_OPTIONS) $(ARGS)

test-fast: setup
	@$(VENV_PYTHON) -m pytest $(PYTEST_OPTIONS) tests/unit tests/integration/sandbox tests/integration/sync $(ARGS)

test-floors: $(FLOORS_STAMP)
	@$(FLOORS_PYTHON) -m pytest $(PYTEST_OPTIONS) tests/unit tests/integration/sandbox $(ARGS)

ONLY :=

test-matrix: setup
	@$(VENV_PYTHON) .ci/matrix.py run --part="$(ARGS)" --only $(ONLY); status=$$?; \
		$(if $(ARGS),,$(VENV_PYTHON) .ci/matrix.py table;) exit $$status

test-mariadb: $(MARIADB_STAMP)
	@$(MARIADB_PYTHON) -m pytest $(PYTEST_OPTIONS) -m mariadb $(ARGS)
	@$(MARIADB_PYTHON) -m tests.holes.check --needs mariadb

test-browser: $(BROWSER_STAMP)
	@$(BROWSER_PYTHON) -m pytest -m browser tests/integration/plugins $(ARGS)

holes: setup
	@$(VENV_PYTHON) -m tests.holes.check $(ARGS)

SEEDS := 1-
NIGHTS := 1000

simulate: setup
	@$(VENV_PYTHON) -m tests.simulation --seeds $(SEEDS) --nights $(NIGHTS) --processes 2 $(ARGS)

chaos: setup
	@$(VENV_PYTHON) -m benchmarks.chaos $(ARGS)

bench: $(BENCH_STAMP)
	@$(BENCH_PYTHON) -m benchmarks $(ARGS)

# Airflow writes files where it is imported: into a folder of this run's own. Pages that are gone are not left behind.
docs: setup
	@rm -rf build/docs; home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; export AIRFLOW_HOME="$$home"; \
		$(VENV_PYTHON) -m sphinx --fail-on-warning --keep-going --quiet docs build/docs && \
		$(VENV_PYTHON) -m docs.site_check build/docs
	@echo "The site is in build/docs/index.html"

package: $(PACKAGE_STAMP)
	@rm -rf dist
	@$(PACKAGE_PYTHON) -m build --outdir dist . >/dev/null
	@$(PACKAGE_PYTHON) -m twine check --strict dist/*
	@$(PACKAGE_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --force-reinstall --no-deps dist/*.whl
	@$(PACKAGE_PYTHON) -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt dist/*.whl
	@$(PACKAGE_PYTHON) .ci/check_package.py dist

# The same as .pre-commit-config.yaml has.
lint: setup
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m codespell_lib
	$(VENV_PYTHON) -m mypy

# Pins anew what the constraints files pin; needs uv.
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

constraints: setup
	$(UV_COMPILE) --extra dev --extra dev-mysql --extra browser --extra bench --output-file constraints.txt pyproject.toml
	$(VENV_PYTHON) .ci/floors.py >.floors.txt
	$(UV_COMPILE) --extra test --constraints .floors.txt --output-file constraints-floors.txt pyproject.toml
	rm -f .floors.txt
	$(VENV_PYTHON) .ci/matrix.py pin $(UV_COMPILE)

clean:
	rm -rf .venv .venv-bench .venv-browser .venv-floors .venv-mariadb .venv-matrix .venv-package .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* \
		.floors.txt htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
