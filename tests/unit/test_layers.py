"""The house: imports go down the floors, and the sandbox stands apart."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_leadsquared

PACKAGE = Path(airflow_provider_leadsquared.__file__).parent
NAME = "airflow_provider_leadsquared"


def imports_of(folder: str) -> set[str]:
    found: set[str] = set()
    for path in (PACKAGE / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    return found


@pytest.mark.parametrize(
    ("folder", "never"),
    [
        ("api", (f"{NAME}.delivery", f"{NAME}.hooks", f"{NAME}.operators", f"{NAME}.sensors", f"{NAME}.sandbox")),
        ("delivery", (f"{NAME}.hooks", f"{NAME}.operators", f"{NAME}.sensors", f"{NAME}.sandbox")),
        ("hooks", (f"{NAME}.operators", f"{NAME}.sensors", f"{NAME}.sandbox")),
        ("operators", (f"{NAME}.sensors", f"{NAME}.sandbox")),
        ("sensors", (f"{NAME}.operators", f"{NAME}.sandbox")),
    ],
)
def test_a_floor_imports_nothing_from_above(folder, never):
    assert [name for name in imports_of(folder) if name.startswith(never)] == []


@pytest.mark.parametrize("folder", ["api", "delivery"])
def test_the_lower_floors_know_neither_airflow_nor_sockets_nor_sleep(folder):
    forbidden = {"airflow", "requests", "aiohttp", "urllib3", "socket", "asyncio", "time"}
    assert {name.split(".")[0] for name in imports_of(folder)} & forbidden == set()


def test_the_sandbox_shares_nothing_with_the_client():
    ours = [name for name in imports_of("sandbox") if name.startswith(NAME)]
    assert [name for name in ours if not name.startswith(f"{NAME}.sandbox")] == []
