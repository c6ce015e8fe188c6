"""Tries of a capture that overlap, or find another list or no ledger: nothing is doubled, and all gets its verdict."""

from __future__ import annotations

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from tests.integration.tasks import Task, before_call, capture, leads, wait_for

ROWS = 30
IN_SQL = {"ledger_conn_id": "ledger"}


@pytest.fixture(params=[{}, IN_SQL], ids=["task_state", "sql"])
def ledger(request, ledger_database):
    """Return the arguments of a capture with one kind of ledger."""
    return request.param


def times_sent(sandbox):
    return Counter(post["lead"].get("EmailAddress") or post["lead"]["FirstName"] for post in sandbox.posts())


# --- a list that moves on between two tries ------------------------------------------------------------------------


def stopped_after_four(sandbox, task, rows, **arguments):
    """Run a try whose keys are revoked after four rows."""
    sandbox.fault("keys_revoked", endpoint="capture", skip=4)
    with pytest.raises(LeadsUnsent):
        capture(task, rows, concurrency=1, **arguments)
    sandbox.clear_faults()


def test_rows_that_the_list_has_moved_on_from_are_part_of_the_run(sandbox, clock, no_waits, ledger):
    task = Task()
    stopped_after_four(sandbox, task, leads(10), **ledger)
    output = capture(task, leads(10)[6:], **ledger)
    assert output["counts"] == {"read": 8, "open": 8}
    assert [receipt["row_key"] for receipt in output["receipts"]] == ["k6", "k7", "k8", "k9", "k0", "k1", "k2", "k3"]
    assert wait_for(Task(), clock, output)["counts"] == {"read": 8, "created": 8}


def test_a_row_that_the_list_has_moved_on_from_and_leadsquared_refuses_makes_the_sensor_red(
    sandbox, clock, no_waits, ledger
):
    sandbox.fault("reject", attribute="EmailAddress", value="lead1@example.org", exception="MXInvalidInputException")
    task = Task()
    stopped_after_four(sandbox, task, leads(10), **ledger)
    output = capture(task, leads(10)[6:], **ledger)
    with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
        wait_for(Task(), clock, output)


def test_a_row_refused_at_once_that_the_list_has_moved_on_from_keeps_the_capture_red(sandbox, clock, no_waits, ledger):
    sandbox.fault("error", http=500, exception="MXInvalidInputException", endpoint="capture", calls=1)
    task = Task()
    for rows in (leads(3), leads(3)[1:]):
        with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
            capture(task, rows, concurrency=1, **ledger)
    assert task.pushed["counts"] == {"read": 3, "open": 2, "rejected": 1}


# --- a ledger that was lost ----------------------------------------------------------------------------------------


def test_after_a_lost_ledger_doubts_stay_at_the_second_clear_and_at_retries(sandbox, clock, no_waits):
    rows = [{"id": f"u{n}", "FirstName": f"N{n}"} for n in range(3)]
    task = Task()
    capture(task, rows, require_match_key=False)
    task.store.values.clear()
    for clears in (1, 1, 2, 2, 3):  # a retry follows each clear
        task.clears = clears
        with pytest.raises(LeadsNotDelivered, match="may have the rows in doubt"):
            capture(task, rows, require_match_key=False)
        assert task.pushed["counts"] == {"read": 3, "in_doubt": 3}
    assert set(times_sent(sandbox).values()) == {1}


def test_after_a_lost_ledger_rows_with_a_match_key_go_again_once(sandbox, clock, no_waits):
    task = Task()
    capture(task, leads(3))
    task.store.values.clear()
    for clears in (1, 1, 2):
        task.clears = clears
        assert capture(task, leads(3))["counts"] == {"read": 3, "open": 3}
    assert set(times_sent(sandbox).values()) == {2}


# --- a try that was given up and still gets receipts ----------------------------------------------------------------


def overtaken(monkeypatch, task):
    """Run a try beside which the next one begins and ends."""

    def run_the_next():
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lambda: capture(task, leads(ROWS), **IN_SQL)).result()

    before_call(monkeypatch, 20, run_the_next)
    with pytest.raises(LedgerTakenError):
        capture(task, leads(ROWS), concurrency=4, **IN_SQL)


def test_receipts_that_came_after_the_captures_output_get_their_verdicts(sandbox, clock, ledger_database, monkeypatch):
    task = Task()
    overtaken(monkeypatch, task)
    output = task.returned
    late = {request["request_id"] for request in sandbox.requests()} - {
        receipt["request_id"] for receipt in output["receipts"]
    }
    assert late
    ended = wait_for(Task(), clock, output)
    requests = len(sandbox.requests())
    assert ended["counts"]["read"] == requests
    assert late < {result["request_id"] for result in ended["results"]}
    with closing(sqlite3.connect(ledger_database)) as database:
        found = dict(database.execute("SELECT request_id, state FROM leadsquared_ledger"))
    assert len(found) == requests
    assert set(found.values()) <= {"created", "updated"}


def test_late_receipts_that_leadsquared_refuses_make_the_sensor_red(sandbox, clock, ledger_database, monkeypatch):
    sandbox.fault("reject", attribute="mx_City", value="Pune", exception="MXInvalidInputException")
    task, waiting = Task(), Task()
    overtaken(monkeypatch, task)
    with pytest.raises(LeadsNotDelivered, match="MXInvalidInputException"):
        wait_for(waiting, clock, task.returned)
    assert waiting.pushed["counts"]["rejected"] == len(sandbox.requests()) > ROWS
