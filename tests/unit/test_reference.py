"""The reference of the documentation: every public class is in it, and each of its arguments is explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_leadsquared
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.notifications.leadsquared import LeadSquaredNotifier
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks.alerts import Alert
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger

REFERENCE = "".join(
    page.read_text() for page in sorted((Path(__file__).parents[2] / "docs" / "reference").glob("*.md"))
)
#: The folders whose modules users import from.
FOLDERS = ("hooks", "notifications", "operators", "sensors", "transfers", "triggers")
CLASSES = [
    CsvToLeadSquaredOperator,
    LeadCaptureOperator,
    LeadSquaredHook,
    LeadSquaredNotifier,
    LeadStatusSensor,
    LeadStatusTrigger,
    SqlToLeadSquaredOperator,
]


#: Arguments of a base that the public class itself gives it.
GIVEN_TO_BASE = {"records", "parameters"}


def _explained(owner: type) -> set[str]:
    text = owner.__doc__ or ""
    for referred in re.findall(r"arguments are those of ``(\w+)``", text):
        text += next(one.__doc__ or "" for one in CLASSES if one.__name__ == referred)
    return set(re.findall(r":param \**(\w+):", text))


def _arguments(owner: type) -> set[str]:
    """Return the names of the arguments of a class that are this package's own, not Airflow's."""
    return {
        parameter.name
        for base in owner.__mro__
        if base.__module__.startswith("airflow_provider_leadsquared") and "__init__" in vars(base)
        for parameter in inspect.signature(vars(base)["__init__"]).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and parameter.name != "self"
    }


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_every_argument_is_explained(owner: type):
    assert _arguments(owner) - _explained(owner) - GIVEN_TO_BASE == set()


#: Called by Airflow alone, though its classes do not define them.
FOR_AIRFLOW = {"execute_complete", "get_openlineage_facets_on_complete"}


def _own_methods(owner: type) -> list[tuple[str, Any]]:
    """Return the public methods of a class, without those that Airflow defines and calls."""
    airflows = {name for base in owner.__mro__ if base.__module__.startswith("airflow.") for name in vars(base)}
    return [
        (f"{owner.__name__}.{name}", method)
        for name, method in vars(owner).items()
        if inspect.isfunction(method) and not name.startswith("_") and name not in airflows | FOR_AIRFLOW
    ]


@pytest.mark.parametrize(
    ("name", "method"), [pytest.param(*one, id=one[0]) for owner in (*CLASSES, Alert) for one in _own_methods(owner)]
)
def test_every_parameter_of_a_public_method_is_explained(name: str, method: Any):
    parameters = set(inspect.signature(method).parameters) - {"self"}
    assert parameters - set(re.findall(r":param \**(\w+):", method.__doc__ or "")) == set()


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_every_public_class_is_in_the_reference(owner: type):
    assert f"autoclass:: {owner.__module__}.{owner.__name__}\n" in REFERENCE


def test_no_public_class_is_forgotten():
    found = set()
    for folder in FOLDERS:
        package = importlib.import_module(f"airflow_provider_leadsquared.{folder}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.name.rpartition(".")[2].startswith("_"):
                loaded = importlib.import_module(module.name)
                found |= {
                    one
                    for name, one in vars(loaded).items()
                    if inspect.isclass(one) and one.__module__ == module.name and not name.startswith("_")
                }
    assert airflow_provider_leadsquared.__version__
    assert found == set(CLASSES)
