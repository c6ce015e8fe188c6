"""Nights that do not go as planned: what the next try sends, and whether the CRM ends as the warehouse is."""

from __future__ import annotations

import random
from collections import Counter
from urllib.parse import urlsplit

import pytest

from airflow_provider_leadsquared.exceptions import LeadsUnsent
from airflow_provider_leadsquared.hooks._many_calls import MAX_ATTEMPTS
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.sync import SyncLedger
from tests.integration.sync.nights import (
    Night,
    customer,
    operator_for,
    run_night,
    sync,
    values_in_crm,
    values_in_warehouse,
)
from tests.integration.tasks import before_call, wait_for


def times_accepted(sandbox):
    accepted = [post["lead"]["EmailAddress"] for post in sandbox.posts() if post["http"] == 200]
    return Counter(Counter(accepted).values())


# --- the next try -------------------------------------------------------------------------------------------------


def test_after_an_outage_a_retry_sends_just_the_rest(sandbox, clock, no_waits, warehouse):
    warehouse.fill(60)
    sandbox.fault("refuse", endpoint="capture", skip=20)
    night = Night("1")
    with pytest.raises(LeadsUnsent, match="40 rows are not sent or in doubt: .* A retry sends just these"):
        sync(night, warehouse)
    assert night.pushed["counts"]["open"] == 20
    sandbox.clear_faults()
    assert sync(night, warehouse)["counts"] == {"read": 60, "open": 60}
    assert times_accepted(sandbox) == {1: 60}


def test_a_sensor_waits_for_what_a_failed_try_has_sent(sandbox, clock, no_waits, on_sqlite):
    on_sqlite.fill(60)
    sandbox.fault("refuse", endpoint="capture", skip=20)
    night = Night("1")
    with pytest.raises(LeadsUnsent):
        sync(night, on_sqlite)
    assert wait_for(night, clock, night.pushed)["counts"] == {"read": 20, "created": 20}


def test_after_the_keys_were_revoked_a_retry_sends_just_the_rest(sandbox, clock, warehouse):
    warehouse.fill(60)
    sandbox.fault("keys_revoked", endpoint="capture", skip=20)
    night = Night("1")
    with pytest.raises(LeadsUnsent, match="the keys were refused"):
        sync(night, warehouse)
    sandbox.clear_faults()
    assert sync(night, warehouse)["counts"] == {"read": 60, "open": 60}
    assert times_accepted(sandbox) == {1: 60}


def test_a_task_that_is_stopped_leaves_the_rest_to_its_retry(sandbox, clock, on_sqlite, monkeypatch):
    on_sqlite.fill(300)
    night = Night("1")
    operator = operator_for(on_sqlite, concurrency=4)
    before_call(monkeypatch, 50, operator.on_kill)
    with pytest.raises(LeadsUnsent, match="rows are not sent or in doubt: the task was stopped"):
        operator.execute(night.context())
    counts = night.pushed["counts"]
    assert set(counts) == {"read", "unsent", "open"}
    assert 50 <= counts["open"] < 100
    assert sync(night, on_sqlite)["counts"] == {"read": 300, "open": 300}
    assert times_accepted(sandbox) == {1: 300}


def test_a_ledger_that_goes_away_while_sending_stops_the_run_and_the_retry_goes_on(
    sandbox, clock, no_waits, warehouse, monkeypatch
):
    warehouse.fill(1_000)  # more than the groups that are written, under way and gathered
    write, writes = SyncLedger.write_outcomes, []

    def away(ledger, entries):
        writes.append(1)
        if len(writes) > 4:
            raise LedgerUnavailableError("the database is away")
        return write(ledger, entries)

    night = Night("1")
    monkeypatch.setattr(SyncLedger, "write_outcomes", away)
    with pytest.raises(LedgerUnavailableError):
        sync(night, warehouse)
    monkeypatch.setattr(SyncLedger, "write_outcomes", write)
    before = len(sandbox.posts())
    assert before < 1_000
    assert sync(night, warehouse)["counts"] == {"read": 1_000, "open": 1_000}
    # Receipts that could not be written leave their rows in doubt, and those go again.
    assert len(sandbox.posts()) - 1_000 <= 232
    assert set(times_accepted(sandbox)) <= {1, 2}


def test_attempts_count_every_sending_of_every_try(sandbox, clock, no_waits, warehouse):
    warehouse.put(customer(1))
    sandbox.fault("refuse", endpoint="capture")
    night = Night("1")
    with pytest.raises(LeadsUnsent):
        sync(night, warehouse)
    sandbox.clear_faults()
    sync(night, warehouse)
    assert warehouse.lines("attempts, state") == [(MAX_ATTEMPTS + 1, "open")]


def test_a_lost_response_sends_a_row_again_and_makes_one_lead(sandbox, clock, no_waits, on_sqlite):
    on_sqlite.fill(5)
    sandbox.fault("lost_response", endpoint="capture", calls=2)
    assert run_night(Night("1"), clock, on_sqlite) == {"read": 5, "open": 5}
    assert (len(sandbox.posts()), len(sandbox.leads())) == (7, 5)


def test_a_row_that_changed_between_two_tries_waits_if_it_was_sent(sandbox, clock, on_sqlite):
    on_sqlite.fill(10)
    sandbox.fault("keys_revoked", endpoint="capture", skip=5)
    night = Night("1")
    with pytest.raises(LeadsUnsent):
        sync(night, on_sqlite, concurrency=1)
    sandbox.clear_faults()
    on_sqlite.fill(10, "Kochi")
    # Five were sent with their former values, which are part of the run: they get their verdicts.
    assert sync(night, on_sqlite)["counts"] == {"read": 15, "waiting": 5, "open": 10}


def test_a_failing_run_shows_no_key_and_no_address_in_its_ledger(sandbox, clock, no_waits, on_sqlite):
    message = "customer0@example.org is known"
    sandbox.fault("error", endpoint="capture", exception="MXInvalidInputException", message=message)
    on_sqlite.fill(3)
    sync(Night("1"), on_sqlite, allowed_rejects=3)
    assert "@" not in on_sqlite.ledger_as_text()


# --- three nights -------------------------------------------------------------------------------------------------


def test_three_nights_end_with_the_crm_as_the_warehouse_is(sandbox, clock, warehouse, monkeypatch):
    """All, then 3 % that changed, then an aborted run and the one after it."""
    chance = random.Random(4)  # noqa: S311 - draws customers, guards nothing
    warehouse.fill(200)
    assert run_night(Night("1"), clock, warehouse) == {"read": 200, "open": 200}
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)

    changed = chance.sample(range(200), 6)
    warehouse.put(*[customer(number, "Kochi") for number in changed])
    before = len(sandbox.posts())
    assert run_night(Night("2"), clock, warehouse) == {"read": 200, "unchanged": 194, "open": 6}
    sent = {post["lead"]["EmailAddress"] for post in sandbox.posts()[before:]}
    assert sent == {f"customer{number}@example.org" for number in changed}
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)

    warehouse.put(*[customer(number, "Agra") for number in chance.sample(range(200), 60)])
    operator = operator_for(warehouse, concurrency=2)
    before_call(monkeypatch, 30, operator.on_kill)
    with pytest.raises(LeadsUnsent):
        operator.execute(Night("3").context())
    clock.advance(3_600)
    assert values_in_crm(sandbox) != values_in_warehouse(warehouse)

    warehouse.put(*[customer(number, "Delhi") for number in chance.sample(range(200), 60)])
    run_night(Night("4"), clock, warehouse)
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)


def test_a_run_whose_process_died_in_the_middle_is_made_good_by_the_next(sandbox, clock, warehouse, monkeypatch):
    warehouse.fill(200)

    operator = operator_for(warehouse)

    def dies():
        """Write nothing from here on: what a kill leaves behind."""
        operator.on_kill()
        monkeypatch.setattr(SyncLedger, "write_outcomes", lambda _, entries: list(entries))

    write_outcomes = SyncLedger.write_outcomes
    before_call(monkeypatch, 60, dies)
    with pytest.raises(LeadsUnsent):
        operator.execute(Night("1").context())
    monkeypatch.setattr(SyncLedger, "write_outcomes", write_outcomes)
    assert "in_doubt" in warehouse.states().values()
    clock.advance(3_600)
    run_night(Night("2"), clock, warehouse)
    assert values_in_crm(sandbox) == values_in_warehouse(warehouse)
    assert len(sandbox.leads()) == 200


def test_a_sync_sends_to_the_async_host_only(sandbox, clock, on_sqlite):
    on_sqlite.fill(2)
    output = sync(Night("1"), on_sqlite)
    assert {post["endpoint"] for post in sandbox.posts()} == {"capture"}
    assert urlsplit(output["ledger"]["sent_to"]).query == ""
