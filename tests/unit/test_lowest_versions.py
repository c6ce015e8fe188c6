"""What `make test-floors` installs is what pyproject.toml calls the lowest versions."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
FLOORS: dict[str, str] = runpy.run_path(str(PROJECT / ".ci" / "floors.py"))["floors"]()


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
