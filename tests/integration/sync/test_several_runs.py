"""Several runs and tries at once: one that slept, one that was given up, one that the query has moved on from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.memory import INTENT_TIMEOUT
from airflow_provider_leadsquared.sync.staging import StagingTable
from airflow_provider_leadsquared.tasks import submitting
from tests.integration.sync.nights import (
    SETTLE_TIMEOUT,
    Night,
    customer,
    leave_in_doubt,
    run_night,
    sync,
    values_in_crm,
    values_in_warehouse,
)
from tests.integration.tasks import before_call, error_of, wait_for

ROWS = 60


@pytest.fixture
def boot_clock(clock, monkeypatch):
    """Let the clock that measures the age of intents be the test's."""
    monkeypatch.setattr(submitting, "_now", lambda: clock.now)
    return clock


# --- a run that is overtaken by the next ---------------------------------------------------------------------------


def the_next_run_sends(clock, warehouse, seconds):
    """Let a worker sleep for some time, in which the next night runs with newer values."""
    clock.advance(seconds)
    warehouse.fill(ROWS, "Delhi")
    in_a_thread(lambda: run_night(Night("next"), clock, warehouse))


def in_a_thread(act):
    """Run what has an event loop of its own from within one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(act).result()


@pytest.mark.parametrize("moment", ["add", "supersede", "owned_leads"])
def test_a_run_that_slept_since_it_read_its_rows_sends_none_of_them(
    sandbox, boot_clock, warehouse, monkeypatch, moment
):
    act = getattr(StagingTable, moment)

    def sleep_first(staging, *args):
        monkeypatch.setattr(StagingTable, moment, act)
        the_next_run_sends(boot_clock, warehouse, 3_600)
        return act(staging, *args)

    monkeypatch.setattr(StagingTable, moment, sleep_first)
    warehouse.fill(ROWS, "Pune")
    assert sync(Night("slow"), warehouse)["counts"] == {"read": ROWS, "waiting": ROWS}
    assert {city for city, _ in values_in_crm(sandbox).values()} == {"Delhi"}


def test_a_run_that_slept_beyond_leadsquareds_retries_before_its_first_call_sends_nothing(
    sandbox, boot_clock, on_sqlite, monkeypatch
):
    on_sqlite.fill(ROWS, "Pune")
    before_call(monkeypatch, 1, lambda: the_next_run_sends(boot_clock, on_sqlite, SETTLE_TIMEOUT))
    assert sync(Night("slow"), on_sqlite, concurrency=1)["counts"] == {"read": ROWS, "waiting": ROWS}
    run_night(Night("after"), boot_clock, on_sqlite)
    assert values_in_crm(sandbox) == values_in_warehouse(on_sqlite)


def test_rows_whose_intents_grew_old_are_intended_anew_and_sent(sandbox, boot_clock, on_sqlite, monkeypatch):
    on_sqlite.fill(ROWS, "Pune")
    before_call(monkeypatch, 20, lambda: boot_clock.advance(3_600))
    assert sync(Night("1"), on_sqlite, concurrency=1)["counts"] == {"read": ROWS, "open": ROWS}
    assert len(sandbox.posts()) == ROWS
    assert {attempts for (attempts,) in on_sqlite.lines("attempts")} == {1}


def test_a_living_runs_intent_is_not_taken_for_an_aborted_ones(sandbox, clock, warehouse):
    leave_in_doubt(
        Night("living"), warehouse, "1", EmailAddress="customer1@example.org", mx_City="Pune", mx_Plan="Gold"
    )
    warehouse.put(customer(1))
    clock.advance(INTENT_TIMEOUT - 1)
    assert sync(Night("2"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(2)
    assert sync(Night("3"), warehouse)["counts"] == {"read": 1, "open": 1}


# --- a try that is given up ----------------------------------------------------------------------------------------


def test_receipts_of_a_try_that_was_given_up_get_their_verdicts(sandbox, boot_clock, on_sqlite, monkeypatch):
    """The next try sends rows in doubt again, so some rows have two receipts; both are asked for."""
    on_sqlite.fill(ROWS, "Pune")
    night = Night("1")
    before_call(monkeypatch, 20, lambda: in_a_thread(lambda: sync(night, on_sqlite)))
    with pytest.raises(LedgerTakenError):
        sync(night, on_sqlite, concurrency=4)
    wait_for(night, boot_clock, night.returned)
    known = {request_id for (request_id,) in on_sqlite.lines("request_id", "request_id IS NOT NULL")}
    assert known == {request["request_id"] for request in sandbox.requests()}
    assert {state for (state,) in on_sqlite.lines("state")} <= {"created", "updated"}


def test_a_late_receipt_of_a_row_that_is_gone_gets_its_verdict(sandbox, boot_clock, on_sqlite, monkeypatch):
    """The next try finds the row in doubt, and the source has it no more; then the receipt comes."""
    on_sqlite.fill(2)
    night = Night("1")

    def go_on_without_the_row():
        on_sqlite.run(f"DELETE FROM {on_sqlite.table} WHERE customer_id = 0")
        in_a_thread(lambda: error_of(lambda: sync(night, on_sqlite)))

    before_call(monkeypatch, 1, go_on_without_the_row)
    with pytest.raises(LedgerTakenError):
        sync(night, on_sqlite, concurrency=1)
    run_night(Night("2"), boot_clock, on_sqlite)
    assert on_sqlite.lines("state", "row_key = '0' AND request_id IS NOT NULL") == [("created",)]


# --- a receipt of another run --------------------------------------------------------------------------------------


def test_a_receipt_with_the_request_id_of_an_earlier_run_is_no_verdict(sandbox, clock, warehouse):
    warehouse.fill(2, "Pune")
    run_night(Night("1"), clock, warehouse)
    warehouse.fill(2, "Delhi")
    sandbox.fault("repeated_request_id", accepted=False, endpoint="capture", calls=1)
    night = Night("2")
    with pytest.raises(LeadsUnsent, match="1 rows are not sent or in doubt"):
        sync(night, warehouse)
    assert warehouse.lines("state, reason_class", "run_id = '2' AND request_id IS NULL") == [
        ("in_doubt", "UnexpectedResponseError")
    ]
    clock.advance(INTENT_TIMEOUT + 1)
    run_night(night, clock, warehouse)
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)


# --- a source that moves on between two tries ----------------------------------------------------------------------


def test_rows_that_the_query_has_moved_on_from_are_part_of_the_run(sandbox, clock, no_waits, on_sqlite):
    on_sqlite.fill(10)
    sandbox.fault("keys_revoked", endpoint="capture", skip=4)
    night = Night("1")
    with pytest.raises(LeadsUnsent):
        sync(night, on_sqlite, concurrency=1)
    sandbox.clear_faults()
    on_sqlite.run(f"DELETE FROM {on_sqlite.table} WHERE customer_id < 6")
    assert sync(night, on_sqlite)["counts"] == {"read": 8, "open": 8}
    assert wait_for(night, clock, night.returned)["counts"] == {"read": 8, "created": 8}


def test_a_refused_row_that_the_query_has_moved_on_from_makes_the_sensor_red(sandbox, clock, no_waits, on_sqlite):
    sandbox.fault(
        "reject", attribute="EmailAddress", value="customer1@example.org", exception="MXInvalidInputException"
    )
    sandbox.fault("keys_revoked", endpoint="capture", skip=4)
    on_sqlite.fill(10)
    night = Night("1")
    with pytest.raises(LeadsUnsent):
        sync(night, on_sqlite, concurrency=1)
    sandbox.clear_faults()
    on_sqlite.run(f"DELETE FROM {on_sqlite.table} WHERE customer_id < 6")
    output = sync(night, on_sqlite)
    with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
        wait_for(night, clock, output)


def test_a_row_that_got_its_former_values_back_is_sent_again_by_a_later_try(sandbox, clock, warehouse):
    night = Night("1")
    for city in ("Pune", "Delhi", "Pune"):
        warehouse.fill(1, city)
        run_night(night, clock, warehouse)
    assert {city for city, _ in values_in_crm(sandbox).values()} == {"Pune"}
    known = {request_id for (request_id,) in warehouse.lines("request_id")}
    assert known == {request["request_id"] for request in sandbox.requests()}


def test_a_cleared_run_sends_what_a_later_run_has_overwritten(sandbox, clock, warehouse):
    for run_id, city in (("1", "Pune"), ("2", "Delhi"), ("1", "Pune")):
        warehouse.fill(1, city)
        run_night(Night(run_id), clock, warehouse)
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)


def test_a_later_try_sends_nothing_again_that_the_crm_holds(sandbox, clock, warehouse):
    warehouse.fill(2)
    for _ in range(3):
        run_night(Night("1"), clock, warehouse, full_refresh=True)
    assert len(sandbox.posts()) == 2


def test_a_doubt_about_former_values_does_not_make_a_later_try_red(sandbox, clock, warehouse):
    night = Night("1")
    leave_in_doubt(night, warehouse, "1", EmailAddress="customer1@example.org", mx_City="Pune", mx_Plan="Gold")
    warehouse.put(customer(1, "Delhi"))
    assert sync(night, warehouse)["counts"] == {"read": 2, "superseded": 1, "waiting": 1}


# --- names ---------------------------------------------------------------------------------------------------------


def test_default_names_of_two_syncs_differ_although_dots_in_ids_could_mix_them_up(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1))
    for dag_id, task_id in [("a", "b.sync"), ("a.b", "sync")]:
        night = Night("1", dag_id=dag_id, task_id=task_id)
        sync(night, on_sqlite)
        wait_for(night, clock, night.returned)
    names = {night.returned["ledger"]["sync"] for night in Night.all if night.returned and "ledger" in night.returned}
    assert names == {"a/b.sync by leadsquared_default", "a.b/sync by leadsquared_default"}
