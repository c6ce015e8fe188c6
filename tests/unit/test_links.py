"""The extra links of a task: the lead that it is about, and what its error means."""

from __future__ import annotations

import tomllib
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_leadsquared import exceptions
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.links import documentation
from airflow_provider_leadsquared.links.leadsquared import ErrorLink, LeadLink
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks.link_targets import note_lead, noted_error
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

CRM = "https://in21.leadsquared.com"
TASKS = (LeadCaptureOperator, LeadStatusSensor, SqlToLeadSquaredOperator, CsvToLeadSquaredOperator)


def link_of(link: LeadLink | ErrorLink, task: Any) -> str:
    key: Any = None  # no link of ours reads it
    return link.get_link(task, ti_key=key)


def rows(*states: State, without: tuple[int, ...] = ()) -> list[Entry]:
    """Return rows in these states, each with a lead id of its number but for some."""
    return [Entry(n, state, lead_id=None if n in without else f"lead{n}") for n, state in enumerate(states)]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the installed distribution name a documentation."""
    facts = Message()
    facts["Project-URL"] = "Source, https://example.org/source"
    facts["Project-URL"] = "Documentation, https://docs.example.org/en/"
    monkeypatch.setattr(documentation, "metadata", lambda _: facts)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_both_links(task):
    assert {link.name for link in task.operator_extra_links} == {"Lead in LeadSquared", "About this error"}


@pytest.mark.parametrize(
    ("entries", "lead"),
    [
        (rows(State.CREATED, State.REJECTED, State.FAILED), "lead1"),
        (rows(State.CREATED, State.REJECTED, without=(1,)), "lead0"),
        (rows(State.UPDATED, State.CREATED), "lead0"),
    ],
    ids=["first_reject", "reject_without_a_lead", "first_created"],
)
def test_the_lead_is_the_first_reject_or_else_the_first_that_was_delivered(entries, lead):
    task = SimpleNamespace()
    note_lead(task, entries, CRM)
    assert link_of(LeadLink(), task) == f"{CRM}/LeadManagement/LeadDetails?LeadID={lead}"


@pytest.mark.parametrize(
    ("entries", "web_url"),
    [(rows(State.OPEN, without=(0,)), CRM), ([], CRM), (rows(State.CREATED), None)],
    ids=["no_lead_id", "no_row", "no_web_application"],
)
def test_there_is_no_link_without_a_lead_or_its_page(entries, web_url):
    task = SimpleNamespace()
    note_lead(task, entries, web_url)
    assert link_of(LeadLink(), task) == ""


def test_what_a_server_says_to_be_a_lead_id_cannot_lead_elsewhere():
    task = SimpleNamespace()
    note_lead(task, [Entry(0, State.CREATED, lead_id="x&next=https://example.org/#")], CRM)
    assert link_of(LeadLink(), task).endswith("LeadID=x%26next%3Dhttps%3A%2F%2Fexample.org%2F%23")


def ended_by(error: Exception) -> SimpleNamespace:
    """Return a task that an error has ended."""
    task = SimpleNamespace()
    with pytest.raises(type(error)), noted_error(task):
        raise error
    return task


@pytest.mark.usefixtures("published")
def test_an_error_links_to_its_section_of_the_documentation():
    task = ended_by(exceptions.LeadsUnsent("…"))
    assert link_of(ErrorLink(), task) == "https://docs.example.org/en/errors.html#leadsunsent"


@pytest.mark.usefixtures("published")
def test_an_error_of_a_users_own_class_links_to_the_public_one_above_it():
    class Own(exceptions.LeadsUnsent):
        pass

    assert link_of(ErrorLink(), ended_by(Own("…"))).endswith("#leadsunsent")


@pytest.mark.usefixtures("published")
def test_an_error_that_is_not_of_this_package_has_no_link():
    assert link_of(ErrorLink(), ended_by(ValueError("…"))) == ""


def test_without_a_published_documentation_there_is_no_link(monkeypatch):
    monkeypatch.setattr(documentation, "metadata", lambda _: Message())
    assert link_of(ErrorLink(), ended_by(exceptions.LeadsUnsent("…"))) == ""


def test_the_project_names_where_its_documentation_is():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"].startswith("https://")
