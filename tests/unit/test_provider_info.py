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
from typing import Any

import jsonschema
import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager

import airflow_provider_leadsquared
from airflow_provider_leadsquared.api.regions import REGIONS
from airflow_provider_leadsquared.get_provider_info import get_provider_info
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

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


def test_every_class_and_function_that_it_names_exists():
    uris = INFO["asset-uris"][0]
    for path in (*INFO["extra-links"], uris["handler"], uris["factory"], uris["to_openlineage_converter"]):
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_it_names_every_link_of_a_task():
    """Airflow shows no link of a class that it does not know."""
    operators = (LeadCaptureOperator, LeadStatusSensor, SqlToLeadSquaredOperator, CsvToLeadSquaredOperator)
    links = {type(link) for operator in operators for link in operator.operator_extra_links}
    assert {f"{link.__module__}.{link.__qualname__}" for link in links} == set(INFO["extra-links"])


def test_its_connection_type_is_the_hooks():
    assert CONNECTION["hook-class-name"] == f"{LeadSquaredHook.__module__}.{LeadSquaredHook.__qualname__}"
    assert CONNECTION["connection-type"] == LeadSquaredHook.conn_type


def test_the_regions_offered_are_those_that_are_known():
    assert CONNECTION["conn-fields"]["region"]["schema"]["enum"] == list(REGIONS)


def test_each_region_is_shown_with_its_country_and_the_documented_ones_are_marked():
    assert CONNECTION["conn-fields"]["region"]["schema"]["values_display"] == {
        region.code: f"{region.country} ({region.code}){' – documented' if region.is_documented else ''}"
        for region in REGIONS.values()
    }


def test_what_every_connection_needs_is_in_a_section_that_says_so():
    """Airflow opens no section but that of its own fields: a title is all that is seen of the others."""
    sections = {name: field["schema"]["section"] for name, field in CONNECTION["conn-fields"].items()}
    assert sections["region"] == sections["async_api_key"] == "Region and Async API key (needed)"
    assert next(iter(sections)) == "region"


def test_the_form_saves_no_connection_without_the_async_key():
    """A field that may not be null is demanded by Airflow's form, which marks its section as long as it is empty."""
    assert CONNECTION["conn-fields"]["async_api_key"]["schema"]["type"] == "string"


def test_every_field_of_the_form_says_what_belongs_into_it():
    assert all(field["description"] for field in CONNECTION["conn-fields"].values())
    assert CONNECTION["ui-field-behaviour"]["placeholders"].keys() == {"host", "port", "login", "password"}


def test_the_form_shows_the_port_without_which_airflows_test_refuses():
    assert "port" not in CONNECTION["ui-field-behaviour"]["hidden-fields"]


def test_the_form_that_airflow_draws_has_all_that_the_metadata_says():
    drawn: Any
    (drawn,) = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "leadsquared"]
    assert {name: field["schema"]["title"] for name, field in drawn.extra_fields.items()} == {
        name: field["label"] for name, field in CONNECTION["conn-fields"].items()
    }
    assert drawn.extra_fields["region"]["schema"]["enum"] == list(REGIONS)
    assert (drawn.standard_fields.host.title, drawn.standard_fields.port.hidden) == ("Async host", False)


def test_every_secret_field_of_the_form_hides_what_is_typed():
    assert CONNECTION["conn-fields"]["async_api_key"]["schema"]["format"] == "password"


class _Field:
    def __init__(self, label, *, validators, description):
        self.kind, self.label, self.validators, self.description = type(self).__name__, label, validators, description


@pytest.fixture
def wtforms(monkeypatch):
    """Stand in for wtforms, of which Airflow 3.1 itself stands in for these kinds of fields and no other."""
    module, validators = ModuleType("wtforms"), ModuleType("wtforms.validators")
    for name in ("PasswordField", "StringField"):
        setattr(module, name, type(name, (_Field,), {}))
    setattr(validators, "any_of", list)  # noqa: B010 - a module made for the test has no such attribute
    monkeypatch.setitem(sys.modules, "wtforms", module)
    monkeypatch.setitem(sys.modules, "wtforms.validators", validators)


def test_the_form_of_airflow_3_1_has_the_same_fields(wtforms):
    widgets = LeadSquaredHook.get_connection_form_widgets()
    kinds = dict.fromkeys(("region", "retry_intervals", "sync_host"), "StringField")
    assert {name: widget.kind for name, widget in widgets.items()} == kinds | {"async_api_key": "PasswordField"}
    assert {n: w.label for n, w in widgets.items()} == {n: f["label"] for n, f in CONNECTION["conn-fields"].items()}
    assert all(f["description"] in widgets[n].description for n, f in CONNECTION["conn-fields"].items())


def test_the_form_of_airflow_3_1_offers_the_regions_and_names_their_countries(wtforms):
    region = LeadSquaredHook.get_connection_form_widgets()["region"]
    assert region.validators == [list(REGIONS)]
    assert all(each.country in region.description for each in REGIONS.values())


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
