"""What docs/sandbox.md says of switches and faults is what the code has: names, values, defaults."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.sandbox.__main__ import _parser
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.endpoints import endpoint_names
from airflow_provider_leadsquared.sandbox.fault_kinds import FAULT_KINDS, FaultKind
from airflow_provider_leadsquared.sandbox.faults import Fault
from airflow_provider_leadsquared.sandbox.server import Server
from airflow_provider_leadsquared.sandbox.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()
SWITCHES = {spec.name: spec for spec in fields(Settings)}


def rows(heading: str, first_cell: str) -> dict[str, list[str]]:
    """Return the cells of a table, by the name in the first cell: the table below a heading with that first cell."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = section.partition(f"\n| {first_cell} |")[2].partition("\n\n")[0]
    return {cells[0].strip("`"): cells[1:] for cells in map(cells_of, re.findall(r"^\| `.*\|$", table, re.M))}


def cells_of(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


FAULT_ROWS = rows("Faults", "Kind")
SHAPE_ROWS = rows("Faults", "Shape")
SWITCH_ROWS = rows("Switches", "Switch")


def parameters_of(kind: FaultKind) -> str:
    """Return the parameters of a kind of fault as the page has to show them."""
    return ", ".join(described(name, default, kind) for name, default in kind.parameters.items())


def described(name: str, default: Any, kind: FaultKind) -> str:
    choices = kind.choices.get(name, ())
    if default is False or name == "message":
        return f"`{name}`"
    if isinstance(default, tuple):
        return f"`{name}` {json.dumps(default)}"
    if isinstance(default, bool):
        return f"`{name}` {json.dumps(default)}"
    if len(choices) > 20:
        return f"`{name}` {default} ({choices[0]} to {choices[-1]})"
    return f"`{name}` " + "/".join(map(str, [default, *(one for one in choices if one != default)]))


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_fault_is_on_the_page_with_its_parameters_and_defaults(kind):
    assert FAULT_ROWS[kind][0] == parameters_of(FAULT_KINDS[kind])


@pytest.mark.parametrize("kind", FAULT_ROWS)
def test_every_fault_on_the_page_exists(kind):
    assert kind in FAULT_KINDS


@pytest.mark.parametrize("kind", ["odd_receipt", "odd_status"])
def test_every_shape_is_on_the_page(kind):
    shown = {shape for shape, (of, _) in SHAPE_ROWS.items() if of in ("both", f"`{kind}`")}
    assert shown == set(FAULT_KINDS[kind].choices["shapes"])


def test_the_faults_shown_as_examples_are_valid():
    examples = re.findall(r'\{"kind": [^}]*\}', PAGE)
    assert len(examples) >= 10
    for example in examples:
        Fault.from_json(json.loads(example), endpoint_names())


def written(value: Any) -> str:
    """Return a value of a switch as the page writes it."""
    match value:
        case float():
            return f"{value:g}"
        case tuple() if isinstance(value[0], float):
            return f"[{', '.join(map(written, value))}]"
        case str() if value:
            return value
        case _:
            return json.dumps(value)


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_on_the_page_with_its_default_first(name):
    values, spec = SWITCH_ROWS[name][0], SWITCHES[name]
    if name in ("access_key", "secret_key", "api_key"):
        assert values == "text"
        return
    shown = re.findall(r"`([^`]*)`", values)
    assert shown[0] == written(spec.default)
    if spec.metadata["choices"]:
        assert sorted(shown) == sorted(spec.metadata["choices"])


@pytest.mark.parametrize("name", SWITCH_ROWS)
def test_every_switch_on_the_page_exists(name):
    assert name in SWITCHES


def test_every_method_of_the_class_is_on_the_page():
    text = PAGE.partition("## In Python")[2].partition("## In pytest")[0]
    names = {name for name in vars(Sandbox) if not name.startswith("_")}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_every_control_is_on_the_page():
    text = PAGE.partition("## Controls and recorded data")[2].partition("\n## ")[0]
    routes = Server(Account(Settings(), (), Clock(0)))._app().router.resources()
    controls = {route.canonical.split("{")[0].rstrip("/") for route in routes if "/sandbox/" in route.canonical}
    assert len(controls) >= 12
    assert {one for one in controls - {"/sandbox"} if f" {one}" not in text and f"`{one}" not in text} == set()


def test_every_flag_is_on_the_page():
    flags = {option for action in _parser()._actions for option in action.option_strings if option != "--help"}
    own = {flag for flag in flags if flag.strip("-").removeprefix("no-").replace("-", "_") not in SWITCHES}
    assert {flag for flag in own - {"-h", "--verbose"} if f"`{flag}" not in PAGE} == set()
