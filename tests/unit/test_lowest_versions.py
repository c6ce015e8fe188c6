"""What `make test-floors` installs is what pyproject.toml calls the lowest versions."""

from __future__ import annotations

import ast
import runpy
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
FLOORS: dict[str, str] = runpy.run_path(str(PROJECT / ".ci" / "floors.py"))["floors"]()
#: What only the sandbox's plugin for pytest imports.
ALLOWED_FOR_TESTS = {"pytest"}


def pins_of(name: str) -> dict[str, str]:
    """Return the version of each distribution in a constraints file."""
    pins = [Requirement(line) for line in (PROJECT / name).read_text().splitlines()]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}


@pytest.mark.parametrize("name", FLOORS)
def test_the_lowest_version_is_pinned(name: str) -> None:
    assert pins_of("constraints-floors.txt")[name] == FLOORS[name]


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-floors.txt"])
def test_constraints_name_no_index(name: str) -> None:
    assert "://" not in (PROJECT / name).read_text()


def test_each_library_that_the_package_imports_is_declared() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    libraries: set[str] = set()
    for path in (PROJECT / "airflow_provider_leadsquared").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                libraries |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                libraries.add((node.module or "").split(".")[0])
    libraries -= {*sys.stdlib_module_names, "airflow", "airflow_provider_leadsquared"}
    distributions = packages_distributions()
    missing = {name for name in libraries if not declared & {canonicalize_name(one) for one in distributions[name]}}
    assert missing == ALLOWED_FOR_TESTS
