"""The layers of the package: imports go down only, siblings do not import each other, the sandbox stands apart."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_leadsquared

PACKAGE = Path(airflow_provider_leadsquared.__file__).parent
NAME = "airflow_provider_leadsquared"

#: What each folder and each module at the root may import of the package, besides itself and the root ``__init__``.
ALLOWED: dict[str, set[str]] = {
    "api": set(),
    "delivery": {"api"},
    "ledgers": {"api", "delivery"},
    "sync": {"api", "delivery", "ledgers"},
    "reports": {"api", "delivery", "ledgers"},
    "hooks": {"api", "get_provider_info"},
    "exceptions": {"api", "delivery", "ledgers", "sync"},
    "tasks": {"api", "delivery", "ledgers", "sync", "reports", "hooks", "exceptions"},
    "links": {"tasks"},
    "operators": {"api", "delivery", "hooks", "tasks", "exceptions", "links"},
    "triggers": {"api", "hooks", "tasks", "exceptions"},
    "sensors": {"api", "delivery", "hooks", "tasks", "exceptions", "triggers", "links"},
    "transfers": {"api", "delivery", "sync", "hooks", "tasks", "exceptions", "links"},
    "notifications": {"api", "reports", "tasks"},
    "plugins": {"delivery", "ledgers", "reports", "tasks"},
    "cli": {"api", "delivery", "ledgers", "reports", "hooks", "tasks"},
    "__main__": {"cli"},
    "assets": {"hooks"},
    "get_provider_info": set(),
    "sandbox": set(),
}
#: Folders whose code runs in virtual time: no Airflow, no HTTP, no clock, no sleep.
PURE = ("api", "delivery", "ledgers", "sync", "reports")
IMPURE = {"airflow", "requests", "aiohttp", "urllib3", "socket", "asyncio", "time"}


def part_of(path: Path) -> str:
    """Return the folder of the package, or the module at its root, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(part: str) -> set[str]:
    """Return the modules that a folder or a module at the root imports, also inside functions."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if part_of(path) != part:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} has a relative import, which this test does not follow"
                found |= {node.module or ""}
                if node.module in (NAME, f"{NAME}.{part}"):
                    found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_folder_and_module_has_its_rule():
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"} == ALLOWED.keys()


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_down_the_layers(part):
    ours = {name.split(".")[1] for name in imports_of(part) if name.startswith(f"{NAME}.")}
    assert ours - ALLOWED[part] - {part, "__version__"} == set()


@pytest.mark.parametrize("part", PURE)
def test_the_lower_layers_know_neither_airflow_nor_sockets_nor_clocks(part):
    assert {name.split(".")[0] for name in imports_of(part)} & IMPURE == set()


def test_provider_metadata_imports_nothing_of_airflow():
    assert not [name for name in imports_of("get_provider_info") if name.startswith("airflow")]


def test_no_file_of_the_package_is_longer_than_350_lines():
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_no_function_of_the_package_is_longer_than_50_lines():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                if length > 50:
                    found[f"{path.relative_to(PACKAGE).as_posix()}:{node.name}"] = length
    assert found == {name: length for name, length in found.items() if name in LONG_FOR_A_REASON}


#: Functions that are longer, each with its reason.
LONG_FOR_A_REASON = {
    "get_provider_info.py:get_provider_info": "one literal, as Airflow reads it",
}
