"""The reference of the documentation: every public class is in it, and each of its arguments is explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_leadsquared
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.notifications.leadsquared import LeadSquaredNotifier
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger
from docs import public_names

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


def test_every_argument_is_explained():
    assert public_names.unexplained() == []


def of_a_user(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a class of a module that users import, as if this code were the module."""
    (folder / "planted.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    planted = importlib.import_module("planted")
    monkeypatch.setattr(public_names, "PACKAGE", "planted")
    monkeypatch.setattr(public_names, "documented", lambda: {"planted.Task": planted.Task})
    return planted.Task


PLANTED = """
class Base:
    def __init__(self, *, inherited=1): ...
    def ask(self, question): ...

class Task(Base):
    \"\"\"A task.

    :param own: Explained.
    \"\"\"
    def __init__(self, own, *, forgotten=1, **more): ...
    def answer(self, words): ...
"""


def test_an_argument_without_a_word_is_named_with_its_place_also_if_a_base_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    of_a_user(tmp_path, PLANTED, monkeypatch)
    at = tmp_path / "planted.py"
    assert public_names.unexplained() == [
        f"{at}:12: planted.Task.answer has an argument words without :param:",
        f"{at}:4: planted.Task.ask has an argument question without :param:",
        f"{at}:6: planted.Task has an argument forgotten without :param:",
        f"{at}:6: planted.Task has an argument inherited without :param:",
    ]


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
