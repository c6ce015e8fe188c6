"""What Airflow reads about the package: valid, complete, and true."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.resources import files
from pkgutil import iter_modules
from types import ModuleType

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

import airflow_provider_leadsquared
from airflow_provider_leadsquared.api.regions import REGIONS
from airflow_provider_leadsquared.get_provider_info import get_provider_info
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]


def test_it_meets_the_installed_airflows_own_schema():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_airflow_finds_it_by_its_entry_point():
    found = entry_points(group="apache_airflow_provider", module="airflow_provider_leadsquared.get_provider_info")
    assert [point.load()() for point in found][:1] == [INFO]


def test_its_name_is_the_distributions():
    assert version(INFO["package-name"]) == airflow_provider_leadsquared.__version__


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_every_module_that_it_names_can_be_imported(kind):
    for group in INFO[kind]:
        for module in group["python-modules"]:
            import_module(module)


def test_it_names_every_module_with_a_transfer():
    """Each can be imported, and none is left out."""
    named = {transfer["python-module"] for transfer in INFO["transfers"]}
    package = import_module("airflow_provider_leadsquared.transfers")
    there = {f"{package.__name__}.{module.name}" for module in iter_modules(package.__path__)}

    assert named == {name for name in there if not name.rpartition(".")[2].startswith("_")}
    for module in named:
        import_module(module)


def test_what_it_names_for_alerts_and_the_command_line_can_be_imported():
    for name in (*INFO["cli"], *INFO["notifications"]):
        module, _, what = name.rpartition(".")
        assert callable(getattr(import_module(module), what))


def test_its_connection_type_is_the_hooks():
    assert CONNECTION["hook-class-name"] == f"{LeadSquaredHook.__module__}.{LeadSquaredHook.__qualname__}"
    assert CONNECTION["connection-type"] == LeadSquaredHook.conn_type


def test_the_regions_offered_are_those_that_are_known():
    assert CONNECTION["conn-fields"]["region"]["schema"]["enum"] == list(REGIONS)


def test_every_secret_field_of_the_form_hides_what_is_typed():
    assert CONNECTION["conn-fields"]["async_api_key"]["schema"]["format"] == "password"


class _Field:
    def __init__(self, label, choices=None):
        self.kind, self.label, self.choices = type(self).__name__, label, choices


@pytest.fixture
def wtforms(monkeypatch):
    """Stand in for wtforms, which Airflow 3.1 itself replaces by a stand-in when it draws the form."""
    module = ModuleType("wtforms")
    for name in ("PasswordField", "SelectField", "StringField"):
        setattr(module, name, type(name, (_Field,), {}))
    monkeypatch.setitem(sys.modules, "wtforms", module)


def test_the_form_of_airflow_3_1_has_the_same_fields(wtforms):
    widgets = LeadSquaredHook.get_connection_form_widgets()
    kinds = {"region": "SelectField", "async_api_key": "PasswordField"}
    kinds |= dict.fromkeys(("retry_intervals", "sync_host"), "StringField")
    assert {name: widget.kind for name, widget in widgets.items()} == kinds
    assert {n: w.label for n, w in widgets.items()} == {n: f["label"] for n, f in CONNECTION["conn-fields"].items()}


def test_the_form_of_airflow_3_1_behaves_alike():
    behaviour = LeadSquaredHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == CONNECTION["ui-field-behaviour"]["relabeling"]
    assert behaviour["hidden_fields"] == CONNECTION["ui-field-behaviour"]["hidden-fields"]


def test_reading_it_imports_nothing_of_the_package():
    source = files("airflow_provider_leadsquared").joinpath("get_provider_info.py").read_text()
    assert set(re.findall(r"^(?:from|import) (\S+)", source, re.MULTILINE)) == {"__future__", "typing"}


def test_airflow_lists_the_provider_with_its_connection_type():
    found = ProvidersManager().providers[INFO["package-name"]]
    assert (found.version, found.data["connection-types"]) == (
        airflow_provider_leadsquared.__version__,
        INFO["connection-types"],
    )
