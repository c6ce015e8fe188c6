"""Print the lowest versions that pyproject.toml allows, as pip constraints; `make constraints` asks for them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]


def floors() -> dict[str, str]:
    """
    Return the lowest version of each dependency of the package and its tests.

    :raises ValueError: a requirement has anything but one lower bound and versions that it leaves out
    """
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found = {}
    for line in (*project["dependencies"], *project["optional-dependencies"]["test"]):
        requirement = Requirement(line)
        bounds = [bound for bound in requirement.specifier if bound.operator != "!="]
        if [bound.operator for bound in bounds] != [">="]:
            raise ValueError(f"{line} must have one lower bound and no other bound.")
        found[requirement.name] = bounds[0].version
    return found


if __name__ == "__main__":
    for name, version in floors().items():
        print(f"{name}=={version}")
