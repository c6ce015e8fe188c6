"""The extra links of a task: the lead that it is about, and what its error means."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_leadsquared import exceptions
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.links import documentation
from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, ErrorLink, LeadLink
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.link_targets import note_deliveries, note_lead, noted_error
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

CRM = "https://in21.leadsquared.com"
TASKS = (LeadCaptureOperator, LeadStatusSensor, SqlToLeadSquaredOperator, CsvToLeadSquaredOperator)


def link_of(link: DeliveriesLink | LeadLink | ErrorLink, task: Any) -> str:
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
def test_every_task_has_all_links(task):
    assert [link.name for link in task.operator_extra_links] == [
        "Deliveries",
        "Lead in LeadSquared",
        "About this error",
    ]


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


RUN = RunOfTask("nightly", "manual__2026-01-01T00:00:00+00:00", "sync")
RUN_ASKED = "dag_id=nightly&run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00"


def airflow_task(task_id: str, **more: Any) -> LeadCaptureOperator:
    return LeadCaptureOperator(task_id=task_id, leads=[{"EmailAddress": "a@example.org"}], **more)


def test_a_task_with_a_ledger_links_to_its_run_on_the_page(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/base/")
    task = SimpleNamespace()
    note_deliveries(task, RUN, [LedgerAddress("warehouse", "crm.ledger", RUN)])
    assert link_of(DeliveriesLink(), task) == (
        f"https://airflow.example.org/base/leadsquared/run?ledger=warehouse%3Dcrm.ledger&{RUN_ASKED}&task_id=sync"
    )


def test_an_instance_of_a_mapped_task_links_to_its_own_rows():
    task = SimpleNamespace()
    note_deliveries(task, RUN, [LedgerAddress("warehouse", run=replace(RUN, map_index=3))])
    assert link_of(DeliveriesLink(), task).endswith(f"?ledger=warehouse&{RUN_ASKED}&task_id=sync&map_index=3")


def test_a_sensor_behind_several_captures_links_to_the_whole_run():
    task = SimpleNamespace()
    note_deliveries(task, RUN, [LedgerAddress("warehouse", run=replace(RUN, map_index=number)) for number in range(2)])
    assert link_of(DeliveriesLink(), task).endswith(f"run?ledger=warehouse&{RUN_ASKED}")


def test_a_sensor_that_waits_for_a_sync_as_a_whole_links_to_all_runs():
    task = SimpleNamespace()
    note_deliveries(task, RUN, [LedgerAddress("warehouse", sync="a sync")])
    assert link_of(DeliveriesLink(), task).endswith("/leadsquared/?ledger=warehouse")


@pytest.mark.parametrize(
    ("behind", "path"),
    [
        (lambda: LeadStatusSensor(task_id="wait", request_ids="r"), "wait/xcom"),
        (lambda: LeadStatusSensor.partial(task_id="wait").expand(request_ids=["r"]), "wait/mapped"),
        (lambda: airflow_task("other"), "capture/xcom"),
        (lambda: None, "capture/xcom"),
    ],
    ids=["sensor", "mapped_sensor", "no_sensor", "nothing"],
)
def test_a_capture_whose_ledger_airflow_keeps_links_to_the_results_of_its_sensor(behind, path):
    with DAG("nightly", schedule=None):
        capture, following = airflow_task("capture"), behind()
        if following is not None:
            capture >> following
    note_deliveries(capture, replace(RUN, task_id="capture"), [])
    assert link_of(DeliveriesLink(), capture).endswith(
        f"/dags/nightly/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/{path}"
    )


def test_a_sensor_whose_ledger_airflow_keeps_links_to_its_own_results():
    task = LeadStatusSensor(task_id="wait", request_ids="r")
    note_deliveries(task, replace(RUN, task_id="wait", map_index=2), [])
    assert link_of(DeliveriesLink(), task).endswith("/tasks/wait/mapped/2/xcom")


def test_a_task_that_ended_before_it_knew_its_ledger_has_no_link_to_deliveries():
    assert link_of(DeliveriesLink(), SimpleNamespace()) == ""
