"""A sensor behind captures of which one has no output, and behind so many requests that neither task lists them."""

from __future__ import annotations

import gc
import sqlite3
from contextlib import closing

import pytest
from airflow.sdk import DAG

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks import awaited, submit_operator
from airflow_provider_leadsquared.tasks.known_requests import KnownRequests
from tests.integration.deferred import wait_deferred
from tests.integration.tasks import Task, TaskInstance, capture, leads, wait_for


def test_what_the_other_captures_sent_is_polled_to_the_end_before_the_sensor_fails(sandbox, clock):
    outputs = [None, capture(Task(), leads(2))]
    with pytest.raises(LeadsNotDelivered, match="1 of 2 outputs in request_ids are None") as raised:
        wait_for(Task(), clock, outputs)
    assert raised.value.counts == {"read": 2, "created": 2}


def behind(states, outputs):
    """Run a sensor behind two captures to which Airflow gives these states."""
    with DAG("sync"):
        sensor = LeadStatusSensor(task_id="wait", request_ids=outputs)
        sensor.set_upstream([LeadCaptureOperator(task_id=task_id, leads=[]) for task_id in ("first", "second")])
    context = Task().context()
    context["ti"].get_task_states = lambda **_: {context["ti"].run_id: states}
    return sensor.execute(context)


def test_a_capture_that_was_skipped_is_not_missed(sandbox, clock):
    output = capture(Task(), leads(1))
    clock.advance(10)
    found = behind({"first": "success", "second": "skipped"}, [output, None])
    assert found["counts"] == {"read": 1, "created": 1}


def test_one_that_was_skipped_does_not_excuse_two_without_an_output(sandbox, clock):
    output = capture(Task(), leads(1))
    clock.advance(10)
    with pytest.raises(LeadsNotDelivered, match="2 of 3 outputs"):
        behind({"first": "success", "second": "skipped"}, [output, None, None])


def test_with_no_output_at_all_there_is_nothing_to_wait_for():
    with pytest.raises(LeadsNotDelivered, match="No receipts"):
        wait_for(Task(), None, [None, None])  # type: ignore[arg-type]  # no clock is needed: nothing is waited for


# --- many requests ----------------------------------------------------------------------------------------------------


@pytest.fixture
def few_listed(monkeypatch):
    """Let more than two receipts and results count as many."""
    monkeypatch.setattr(awaited, "MOST_LISTED", 2)
    monkeypatch.setattr(submit_operator, "MOST_LISTED", 2)


def test_behind_many_requests_in_a_table_the_output_names_the_ledgers_and_holds_no_results(
    sandbox, clock, ledger_database, few_listed
):
    sent = capture(Task(), leads(3), ledger_conn_id="ledger")
    output = wait_for(Task(), clock, sent)
    assert output == {"counts": {"read": 3, "created": 3}, "ledgers": [sent["ledger"]]}


def test_the_error_of_many_rejects_says_that_their_reasons_are_in_the_table(
    sandbox, clock, ledger_database, few_listed
):
    sandbox.fault("reject", exception="MXInvalidInputException")
    with pytest.raises(LeadsNotDelivered, match="each row's reason is in the ledger table"):
        wait_for(Task(), clock, capture(Task(), leads(3), ledger_conn_id="ledger"))


def test_many_results_that_are_in_no_table_are_returned(sandbox, clock, few_listed):
    assert len(wait_for(Task(), clock, capture(Task(), leads(3)))["results"]) == 3


def test_few_listed_are_returned_although_they_are_in_a_table(sandbox, clock, ledger_database, few_listed):
    assert len(wait_for(Task(), clock, capture(Task(), leads(2), ledger_conn_id="ledger"))["results"]) == 2


def test_many_receipts_that_are_in_a_table_are_not_listed(sandbox, clock, ledger_database, few_listed):
    sent = capture(Task(), leads(3), ledger_conn_id="ledger")
    assert "receipts" not in sent
    assert sent["ledger"]["receipts"] == 3


def test_many_receipts_that_are_in_no_table_are_listed(sandbox, clock, few_listed):
    assert len(capture(Task(), leads(3))["receipts"]) == 3


def test_few_receipts_are_listed_although_they_are_in_a_table(sandbox, clock, ledger_database, few_listed):
    sent = capture(Task(), leads(2), ledger_conn_id="ledger")
    assert len(sent["receipts"]) == 2
    assert "receipts" not in sent["ledger"]


def test_a_capture_that_lists_its_receipts_and_one_that_does_not_are_awaited_together(
    sandbox, clock, ledger_database, few_listed, monkeypatch
):
    many = capture(Task(), leads(3), ledger_conn_id="ledger")
    monkeypatch.setattr(TaskInstance, "map_index", 1)
    few = capture(Task(), leads(1), ledger_conn_id="ledger")
    assert wait_for(Task(), clock, [many, few])["counts"] == {"read": 4, "created": 3, "updated": 1}


@pytest.mark.usefixtures("clock")
def test_a_deferred_sensor_reads_them_in_the_table_too(sandbox, ledger_database, few_listed):
    sent = capture(Task(), leads(3), ledger_conn_id="ledger")
    assert wait_deferred(Task(), sent)["counts"] == {"read": 3, "created": 3}


@pytest.mark.parametrize("deleted", ["row_no = 1", "1 = 1"], ids=["one", "all"])
def test_receipts_that_the_ledger_has_lost_make_the_sensor_fail_once_the_others_are_decided(
    sandbox, clock, ledger_database, few_listed, deleted
):
    sent = capture(Task(), leads(3), ledger_conn_id="ledger")
    with closing(sqlite3.connect(ledger_database)) as connection, connection:
        lost = connection.execute(f"DELETE FROM leadsquared_ledger WHERE {deleted}").rowcount
    with pytest.raises(LeadsNotDelivered, match=f"lacks {lost} receipts that the capture left to it") as raised:
        wait_for(Task(), clock, sent)
    assert raised.value.counts.get("created", 0) == 3 - lost


def test_an_output_that_neither_lists_receipts_nor_says_how_many_the_ledger_has_is_refused(sandbox, clock):
    with pytest.raises(ValueError, match="output without receipts"):
        wait_for(Task(), clock, {"ledger": {"ledger_conn_id": "ledger"}})


def entries_of(request_ids):
    """Count what is in memory of some requests."""
    gc.collect()
    # Not by isinstance, which asks proxies for their class, and lets them import what is not there.
    return sum(type(one) is Entry and one.request_id in request_ids for one in gc.get_objects())


def test_a_poke_holds_each_request_once(sandbox, clock, ledger_database):
    output = capture(Task(), leads(30), ledger_conn_id="ledger")
    request_ids = {receipt["request_id"] for receipt in output["receipts"]}
    opened = LeadStatusSensor(task_id="wait", request_ids=output)._awaited(Task().context())
    before = entries_of(request_ids)
    requests, records = opened.load()
    known = KnownRequests(records, requests, lambda: clock.now)
    assert len(known.by_request) == 30
    assert entries_of(request_ids) == before, "what the ledger holds takes the place of the receipts"
