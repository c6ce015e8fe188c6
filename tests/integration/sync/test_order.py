"""One open request per lead: an older value never comes after a newer one. And requests that a night leaves open."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.memory import INTENT_TIMEOUT
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from tests.integration.sync.nights import (
    SETTLE_TIMEOUT,
    SYNC,
    Night,
    cities_sent,
    customer,
    leave_in_doubt,
    ledger_of,
    run_night,
    run_night_that_closes_early,
    sync,
    values_in_crm,
)
from tests.integration.tasks import before_call, connect, wait_for

ADDRESS = "customer1@example.org"


# --- one open request per lead ------------------------------------------------------------------------------------


def test_a_changed_row_waits_while_its_earlier_request_is_open(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, calls=1)
    warehouse.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, warehouse)
    warehouse.put(customer(1, "Kochi"))
    assert sync(Night("2"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    assert cities_sent(sandbox) == ["Pune"]


def test_a_waiting_row_goes_with_its_newest_value_once_the_request_is_settled(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, calls=1)
    warehouse.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, warehouse)
    for night, city in [("2", "Kochi"), ("3", "Agra")]:
        warehouse.put(customer(1, city))
        sync(Night(night), warehouse)
    clock.advance(3_600)
    run_night(Night("4"), clock, warehouse)
    assert cities_sent(sandbox) == ["Pune", "Agra"]
    assert values_in_crm(sandbox) == {ADDRESS: ("Agra", "Gold")}


def test_an_open_row_that_did_not_change_waits_too(sandbox, clock, on_sqlite):
    sandbox.fault("system_errors", count=3, calls=1)
    on_sqlite.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, on_sqlite)
    assert sync(Night("2"), on_sqlite, full_refresh=True)["counts"] == {"read": 1, "waiting": 1}


def test_a_task_is_green_although_rows_wait(sandbox, clock, on_sqlite):
    sandbox.fault("system_errors", count=3, calls=1)
    on_sqlite.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, on_sqlite)
    output = sync(Night("2"), on_sqlite)
    assert wait_for(Night("2"), clock, output)["counts"] == {"read": 0}


def test_after_the_settle_timeout_a_row_goes_although_its_request_is_open(sandbox, clock, warehouse):
    sandbox.fault("silent_loss", calls=1)
    warehouse.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, warehouse)
    clock.advance(SETTLE_TIMEOUT)
    warehouse.put(customer(1, "Kochi"))
    assert sync(Night("2"), warehouse)["counts"] == {"read": 1, "open": 1}


def test_the_settle_timeout_follows_from_the_connections_retry_intervals(sandbox, clock, on_sqlite, monkeypatch):
    connect(monkeypatch, sandbox, extra={"retry_intervals": [30, 3_600, 36_000, 36_000]})
    sandbox.fault("silent_loss", calls=1)
    on_sqlite.put(customer(1))
    run_night_that_closes_early(Night("1"), clock, on_sqlite)
    on_sqlite.put(customer(1, "Kochi"))
    clock.advance(SETTLE_TIMEOUT)
    assert sync(Night("2"), on_sqlite)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(79_230 - SETTLE_TIMEOUT)
    assert sync(Night("3"), on_sqlite)["counts"] == {"read": 1, "open": 1}


def test_a_doubt_lasts_as_long_as_the_connections_retry_intervals(sandbox, clock, on_sqlite, monkeypatch):
    connect(monkeypatch, sandbox, extra={"retry_intervals": [30, 3_600, 36_000, 36_000]})
    leave_in_doubt(Night("1"), on_sqlite, "1", EmailAddress=ADDRESS, mx_City="Pune", mx_Plan="Gold")
    on_sqlite.put(customer(1, "Kochi"))
    clock.advance(79_170)
    assert sync(Night("2"), on_sqlite)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(60)
    assert sync(Night("3"), on_sqlite)["counts"] == {"read": 1, "open": 1}


def test_a_row_in_doubt_goes_again_with_the_same_value(sandbox, clock, warehouse):
    warehouse.put(customer(1))
    leave_in_doubt(Night("1"), warehouse, "1", EmailAddress=ADDRESS, mx_City="Pune", mx_Plan="Gold")
    clock.advance(INTENT_TIMEOUT + 1)
    assert run_night(Night("2"), clock, warehouse) == {"read": 1, "open": 1}
    assert warehouse.states() == {"1": "created"}


def test_a_row_in_doubt_that_changed_waits_until_leadsquareds_retries_are_over(sandbox, clock, warehouse):
    leave_in_doubt(Night("1"), warehouse, "1", EmailAddress=ADDRESS, mx_City="Pune", mx_Plan="Gold")
    warehouse.put(customer(1, "Kochi"))
    clock.advance(SETTLE_TIMEOUT - 60)
    assert sync(Night("2"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(60)
    assert sync(Night("3"), warehouse)["counts"] == {"read": 1, "open": 1}


def test_a_newer_value_waits_for_a_doubted_sending_although_the_same_value_was_confirmed_since(
    sandbox, clock, warehouse
):
    leave_in_doubt(Night("1"), warehouse, "1", EmailAddress=ADDRESS, mx_City="Pune", mx_Plan="Gold")
    clock.advance(INTENT_TIMEOUT + 1)
    warehouse.put(customer(1))
    run_night(Night("2"), clock, warehouse)
    warehouse.put(customer(1, "Kochi"))
    assert sync(Night("3"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(SETTLE_TIMEOUT)
    assert sync(Night("4"), warehouse)["counts"] == {"read": 1, "open": 1}


def test_no_old_value_comes_late_from_a_sending_whose_response_was_lost(sandbox, clock, no_waits, warehouse):
    """The first sending was accepted and meets system errors; the hook sends again at once, and that is confirmed."""
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    sandbox.fault("system_errors", count=9, calls=1)
    warehouse.put(customer(1))
    run_night(Night("1"), clock, warehouse)
    warehouse.put(customer(1, "Kochi"))
    for night in range(2, 5):
        run_night(Night(f"{night}"), clock, warehouse)
    assert cities_sent(sandbox) == ["Pune", "Pune", "Kochi"]
    clock.advance(SETTLE_TIMEOUT)
    assert values_in_crm(sandbox) == {ADDRESS: ("Kochi", "Gold")}


@pytest.mark.parametrize("theirs", ["Pune", "Kochi"])
def test_a_row_that_another_run_began_to_send_since_it_was_compared_waits(
    sandbox, clock, warehouse, monkeypatch, theirs
):
    from airflow_provider_leadsquared.sync.run import SyncRun

    compared = SyncRun.read

    def then_the_other_run_sends(run, rows, report_progress):
        compared(run, rows, report_progress)
        leave_in_doubt(Night("other"), warehouse, "1", EmailAddress=ADDRESS, mx_City=theirs, mx_Plan="Gold")

    monkeypatch.setattr(SyncRun, "read", then_the_other_run_sends)
    warehouse.put(customer(1))
    assert sync(Night("1"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    assert sandbox.posts() == []


def test_a_run_that_meets_another_leaves_one_row_to_it_and_sends_the_others(sandbox, clock, on_sqlite, monkeypatch):
    on_sqlite.fill(250)

    def other_run_sends():
        leave_in_doubt(Night("other"), on_sqlite, "249", EmailAddress="customer249@example.org", mx_City="Agra")

    before_call(monkeypatch, 1, other_run_sends)
    assert sync(Night("1"), on_sqlite, concurrency=1)["counts"] == {"read": 250, "waiting": 1, "open": 249}


def test_a_try_that_was_replaced_by_another_sends_no_more(sandbox, clock, warehouse, monkeypatch):
    warehouse.fill(300)
    night = Night("1")
    before_call(monkeypatch, 20, lambda: ledger_of(night, warehouse).claim("the next try"))
    with pytest.raises(LedgerTakenError, match="another try of this task has begun"):
        sync(night, warehouse)
    assert len(sandbox.posts()) < 300


def test_two_rows_for_one_lead_are_never_both_on_their_way(sandbox, clock, on_sqlite):
    """The first is in doubt from an earlier try; the second is the last for this lead, and waits for that."""
    night = Night("1")
    leave_in_doubt(night, on_sqlite, "1", EmailAddress=ADDRESS, mx_City="Pune", mx_Plan="Gold")
    on_sqlite.put(customer(1), customer(2, "Kochi", email=ADDRESS))
    assert sync(night, on_sqlite)["counts"] == {"read": 2, "superseded": 1, "waiting": 1}
    assert sandbox.posts() == []


# --- requests that a night leaves open ----------------------------------------------------------------------------


def night_that_leaves_a_request_open(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, attribute="mx_City", value="Kochi")
    warehouse.put(customer(1), customer(2, "Kochi"))
    output = sync(Night("1"), warehouse)
    return output, wait_for(Night("1"), clock, output, close_after=60)


def test_a_sensor_that_closes_ends_green_with_requests_open(sandbox, clock, on_sqlite):
    _, found = night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    assert found["counts"] == {"read": 2, "open": 1, "created": 1}
    assert on_sqlite.states() == {"1": "created", "2": "open"}


def test_a_sensor_closes_that_many_seconds_after_the_last_acceptance(sandbox, clock, on_sqlite):
    started = clock.now
    night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    assert clock.now - started == pytest.approx(60)


def test_a_sensor_that_closes_late_leaves_nothing_open(sandbox, clock, on_sqlite):
    output, _ = night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    assert wait_for(Night("1"), clock, output, close_after=3_600)["counts"] == {"read": 2, "created": 2}


def test_the_next_run_first_settles_what_the_one_before_left_open(sandbox, clock, warehouse):
    night_that_leaves_a_request_open(sandbox, clock, warehouse)
    clock.advance(3_600)
    assert sync(Night("2"), warehouse)["counts"] == {"read": 2, "unchanged": 2}
    assert warehouse.lines("run_id, row_key, state") == [("1", "1", "created"), ("1", "2", "created")]


def test_a_reject_of_a_request_that_was_left_open_makes_the_next_run_red(sandbox, clock, on_sqlite):
    sandbox.switch(queue_delay=60)
    sandbox.fault("reject", attribute="mx_City", value="Kochi", exception="MXInvalidInputException")
    on_sqlite.put(customer(1), customer(2, "Kochi"))
    wait_for(Night("1"), clock, sync(Night("1"), on_sqlite), close_after=0)
    clock.advance(3_600)
    night = Night("2")
    with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
        sync(night, on_sqlite)
    assert night.pushed["counts"] == {"read": 2, "unchanged": 1, "rejected": 1}


def test_a_run_goes_on_when_leadsquared_cannot_be_asked_for_earlier_requests(
    sandbox, clock, no_waits, on_sqlite, task_log
):
    night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    clock.advance(3_600)
    sandbox.fault("unavailable", endpoint="status")
    on_sqlite.put(customer(3))
    assert sync(Night("2"), on_sqlite)["counts"] == {"read": 3, "unchanged": 1, "waiting": 1, "open": 1}
    assert "LeadSquared could not be asked about requests of earlier runs" in task_log()


def test_a_settle_task_finishes_the_verdicts_of_all_runs(sandbox, clock, on_sqlite):
    night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    sandbox.fault("system_errors", count=3, attribute="mx_City", value="Agra")
    on_sqlite.put(customer(3, "Agra"))
    run_night_that_closes_early(Night("2"), clock, on_sqlite)
    address = {"ledger_conn_id": "warehouse", "ledger_table": on_sqlite.ledger, "sync": SYNC}
    assert wait_for(Night("settle"), clock, {"ledger": address})["counts"] == {"read": 0}
    assert set(on_sqlite.states().values()) == {"created"}


def test_close_after_is_refused_for_a_plain_capture(sandbox, clock):
    request_id = "9d0f4b52-0000-4000-8000-00000000000c"
    with pytest.raises(ValueError, match="close_after is for syncs"):
        wait_for(Night("1"), clock, request_id, close_after=60)


def test_a_sensor_waits_for_open_requests_of_earlier_runs_too(sandbox, clock, on_sqlite, task_log):
    night_that_leaves_a_request_open(sandbox, clock, on_sqlite)
    on_sqlite.put(customer(3))
    wait_for(Night("2"), clock, sync(Night("2"), on_sqlite))
    assert set(on_sqlite.states().values()) == {"created"}
    assert "Requests of earlier runs: created 1" in task_log()


@pytest.mark.parametrize("is_settle_task", [False, True])
def test_a_request_that_leadsquared_never_decides_keeps_no_later_run_red(sandbox, clock, on_sqlite, is_settle_task):
    sandbox.fault("silent_loss", calls=1)
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite)
    clock.advance(SETTLE_TIMEOUT)
    if is_settle_task:
        output["ledger"] = {"ledger_conn_id": "warehouse", "ledger_table": on_sqlite.ledger, "sync": SYNC}
    else:
        on_sqlite.run(f"DELETE FROM {on_sqlite.table}")
        on_sqlite.put(customer(2))
        output = sync(Night("2"), on_sqlite)
    wait_for(Night("2"), clock, output)
    assert on_sqlite.states()["1"] == "open"


def test_time_that_runs_out_fails_the_sensor_but_no_row(sandbox, clock, on_sqlite):
    sandbox.fault("silent_loss", calls=1)
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite)
    with pytest.raises(LeadsStillOpen, match="1 of 1 requests are still open"):
        wait_for(Night("1"), clock, output, timeout=600)
    assert on_sqlite.states() == {"1": "open"}


def test_a_verdict_that_is_written_is_not_overwritten_by_a_slower_poll(sandbox, clock, warehouse):
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
    from airflow_provider_leadsquared.tasks.ledgers import open_requests_of_sync

    warehouse.put(customer(1))
    output = sync(Night("1"), warehouse)
    slow = open_requests_of_sync([LedgerAddress.parse(output["ledger"])], LeadSquaredHook())
    [entry] = slow.load().entries.values()
    wait_for(Night("1"), clock, output)
    slow.write([entry.moved(State.OPEN, reason_class="UnknownRequest")])
    slow.write([entry.moved(State.FAILED)])
    assert warehouse.states() == {"1": "created"}


# --- what a sensor is given ---------------------------------------------------------------------------------------


def test_outputs_of_several_syncs_are_refused(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1))
    outputs = [sync(Night(name), on_sqlite, sync=name) for name in ("one", "other")]
    with pytest.raises(ValueError, match="outputs of several syncs; let a sensor wait for each"):
        wait_for(Night("1"), clock, outputs)


def test_outputs_of_a_sync_and_of_a_capture_are_refused_together(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite)
    with pytest.raises(ValueError, match="outputs of a sync and others"):
        wait_for(Night("1"), clock, [output, "9d0f4b52-0000-4000-8000-00000000000c"])


def test_a_sensor_with_another_accounts_connection_does_not_end_green(
    sandbox, clock, on_sqlite, leadsquared_sandbox_factory, monkeypatch
):
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite)
    connect(monkeypatch, leadsquared_sandbox_factory(speed=0), "elsewhere")
    with pytest.raises(ValueError, match=r"the sync sent to http\S+, but leadsquared_conn_id leads to http"):
        wait_for(Night("1"), clock, output, leadsquared_conn_id="elsewhere")


def test_rejects_make_the_sensor_red_with_their_counts(sandbox, clock, on_sqlite, task_log):
    sandbox.fault("reject", attribute="mx_City", value="Kochi", exception="MXInvalidInputException")
    on_sqlite.put(customer(1), customer(2, "Kochi"), customer(3, "Kochi"))
    night = Night("1")
    output = sync(night, on_sqlite)
    with pytest.raises(LeadsNotDelivered, match=r"did not confirm 2 of 3 requests .rejected: 2 MXInvalidInput"):
        wait_for(night, clock, output)
    assert night.pushed["counts"] == {"read": 3, "created": 1, "rejected": 2}
    assert "2 (request " in task_log()


@pytest.mark.parametrize("allowed", [1, 0.5, "1", "0.5"])
def test_a_sensor_is_green_with_as_many_rejects_as_allowed(sandbox, clock, on_sqlite, allowed):
    sandbox.fault("reject", attribute="mx_City", value="Kochi")
    on_sqlite.put(customer(1), customer(2, "Kochi"))
    output = sync(Night("1"), on_sqlite)
    assert wait_for(Night("1"), clock, output, allowed_rejects=allowed)["counts"]["rejected"] == 1


def test_a_sensor_never_polls_sooner_than_the_scheduler_bears(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1))
    sandbox.fault("system_errors", count=3)
    output = sync(Night("1"), on_sqlite)
    clock.advance(50)
    sensor = LeadStatusSensor(task_id="wait", request_ids=output, close_after=53)
    assert not sensor.poke(Night("1").context())
    assert sensor.poke_interval >= 10
