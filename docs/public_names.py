"""Every public name that the site has to explain: what it is, and where in the code it stands."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from airflow_provider_leadsquared import exceptions
from airflow_provider_leadsquared.cli.commands import COMMANDS, Group
from airflow_provider_leadsquared.delivery import states
from airflow_provider_leadsquared.get_provider_info import get_provider_info
from airflow_provider_leadsquared.ledgers import schema
from airflow_provider_leadsquared.sandbox import settings

PROJECT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_leadsquared"
REFERENCE = PROJECT / "docs" / "reference"
#: Arguments of a base that the public class itself gives it.
GIVEN_TO_BASE = {"records", "parameters"}
#: Called by Airflow alone, though its classes do not define them.
FOR_AIRFLOW = {"execute_complete", "get_openlineage_facets_on_complete"}


@dataclasses.dataclass(frozen=True)
class PublicName:
    """
    One name.

    :param name: As a reader types it.
    :param what: What it is.
    :param place: File and line of the repository.
    """

    name: str
    what: str
    place: str


def documented() -> dict[str, Any]:
    """Return what the reference documents one by one: each class and function by its dotted name."""
    text = "".join(path.read_text() for path in sorted(REFERENCE.glob("*.md")))
    found = {}
    for name in re.findall(r"auto(?:class|function):: ([\w.]+)", text):
        module, _, attribute = name.rpartition(".")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


@cache
def place_of(one: Any) -> str:
    """Return file and line of a class, function or module."""
    path, line = Path(inspect.getsourcefile(one) or ""), inspect.getsourcelines(one)[1]
    return f"{path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path}:{max(line, 1)}"


def bases(owner: type) -> list[type]:
    """Return a class and its bases, as far as they are this package's own."""
    return [base for base in owner.__mro__ if base.__module__.startswith(PACKAGE)]


def arguments(one: Any) -> set[str]:
    """Return the names of a callable's own arguments; of a class also those that bases of this package take."""
    if not inspect.isclass(one):
        return _parameters(one)
    makers = [vars(base)["__init__"] for base in bases(one) if "__init__" in vars(base)]
    return set().union(*map(_parameters, makers)) - GIVEN_TO_BASE


def _parameters(one: Callable[..., Any]) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(one).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and name not in ("self", "cls")
    }


def methods(owner: type) -> dict[str, Any]:
    """Return the public methods that a class or a base of this package defines, without those that Airflow calls."""
    airflows = {name for base in owner.__mro__ if base.__module__.startswith("airflow.") for name in vars(base)}
    return {
        name: value
        for base in reversed(bases(owner))
        for name, value in vars(base).items()
        if inspect.isfunction(value) and not name.startswith("_") and name not in airflows | FOR_AIRFLOW
    }


def unexplained() -> list[str]:
    """Return each argument that its docstring does not explain, with its place."""
    owners = documented()
    missing = []
    for name, one in owners.items():
        text = _docstring(one, owners)
        callables = {name: (one, text)}
        if inspect.isclass(one):
            callables |= {f"{name}.{key}": (method, method.__doc__ or "") for key, method in methods(one).items()}
        for called, (value, explained) in callables.items():
            left = arguments(value) - set(re.findall(r":param \**(\w+):", explained))
            missing += [f"{place_of(value)}: {called} has an argument {word} without :param:" for word in sorted(left)]
    return sorted(set(missing))


def _docstring(one: Any, owners: dict[str, Any]) -> str:
    """Return a docstring, with those to which it refers for its arguments."""
    text = one.__doc__ or ""
    for referred in re.findall(r"arguments are those of ``(\w+)``", text):
        text += next(owner.__doc__ or "" for name, owner in owners.items() if name.endswith(f".{referred}"))
    return text


def public_names() -> Iterator[PublicName]:
    """Yield every name that a reader may search for."""
    for owner, one in documented().items():
        yield PublicName(owner.rpartition(".")[2], "class of the reference", place_of(one))
        yield from _arguments_of(owner, one)
        for name, method in methods(one).items() if inspect.isclass(one) else ():
            yield PublicName(name, f"method of {owner}", place_of(method))
            yield from _arguments_of(f"{owner}.{name}", method)
    for state in states.State:
        yield PublicName(state.value, "state", place_of(states.State))
    for error in exceptions.__all__:
        yield PublicName(error, "error", place_of(getattr(exceptions, error)))
    for field in dataclasses.fields(settings.Settings):
        yield PublicName(field.name, "switch of the sandbox", place_of(settings.Settings))
    yield from _columns()
    yield from _command_line()
    place = place_of(get_provider_info)
    for section in get_provider_info()["config"].values():
        yield from (PublicName(option, "setting of Airflow", place) for option in section["options"])


def _arguments_of(owner: str, one: Any) -> Iterator[PublicName]:
    yield from (PublicName(name, f"argument of {owner}", place_of(one)) for name in sorted(arguments(one)))


def _columns() -> Iterator[PublicName]:
    place, tables = place_of(schema.Tables), schema.Tables.named("leadsquared_ledger", None)
    for column in tables.entries.columns:
        yield PublicName(column.name, f"column of {tables.name}", place)
    for view, query in tables.views.items():
        yield PublicName(view, "view", place)
        yield from (PublicName(column.name, f"column of {view}", place) for column in query.selected_columns)


def _command_line() -> Iterator[PublicName]:
    place = f"{PACKAGE}/cli/commands.py:1"
    for one in COMMANDS:
        within = f"{one.name} " if isinstance(one, Group) else ""
        for command in one.commands if isinstance(one, Group) else (one,):
            called = f"{within}{command.name}"
            yield PublicName(called, "command", place)
            for argument in command.arguments:
                for flag in argument.flags:
                    if flag.startswith("--"):
                        yield PublicName(flag, f"option of the command {called}", place)
