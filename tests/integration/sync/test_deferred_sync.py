"""A deferred sensor behind a sync: the same ledger as in the other modes, and the requests of earlier runs."""

from __future__ import annotations

import sqlite3
from functools import partial

import pytest

from tests.integration.deferred import DeferredWait, rows_of, wait_deferred, wait_in
from tests.integration.sync.nights import (
    Night,
    Warehouse,
    customer,
    run_night_that_closes_early,
    sync,
)
from tests.integration.tasks import connect, connect_sqlite, error_of, share_time


@pytest.fixture
def ledger_in(leadsquared_sandbox_factory, tmp_path, monkeypatch):
    """Return a function that runs two nights in a mode, and returns all that may be compared."""

    def run(mode):
        sandbox = leadsquared_sandbox_factory(speed=0)
        connect(monkeypatch, sandbox)
        clock = share_time(monkeypatch, sandbox)
        path = tmp_path / f"{mode}.db"
        connect_sqlite(monkeypatch, "warehouse", path)
        warehouse = Warehouse(lambda: sqlite3.connect(path), "?", "")
        warehouse.fill(8)
        sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="customer1@example.org")
        sandbox.fault("reject", attribute="EmailAddress", value="customer2@example.org", exception="MXOddException")
        sandbox.fault("silent_loss", attribute="EmailAddress", value="customer3@example.org")
        outcomes = []
        for number, close_after in enumerate([4_000, None]):
            night = Night(f"night-{number}")
            output = sync(night, warehouse, allowed_rejects=8)
            error = error_of(partial(wait_in, mode, night, clock, output, close_after=close_after, timeout=5_000))
            outcomes.append((type(error), (night.pushed or night.returned)["counts"]))
            warehouse.put(customer(4, "Delhi"))
            clock.advance(20_000)
        unsettled = warehouse.run("SELECT state, row_key FROM leadsquared_ledger_unsettled ORDER BY row_key")
        return outcomes, rows_of(path), unsettled, warehouse.states()

    return run


def test_a_syncs_ledger_is_the_same_deferred(ledger_in):
    assert ledger_in("deferred") == ledger_in("reschedule")


@pytest.fixture
def warehouse(on_sqlite):
    return on_sqlite


def test_a_deferred_sensor_of_a_sync_closes_when_the_others_do(sandbox, clock, warehouse):
    warehouse.fill(2)
    sandbox.fault("silent_loss", attribute="EmailAddress", value="customer0@example.org")
    begun = clock.now
    output = wait_deferred(Night("one"), sync(Night("one"), warehouse), close_after=600)
    assert output["counts"] == {"read": 2, "open": 1, "created": 1}
    assert clock.now - begun == pytest.approx(600, abs=2)


def test_an_earlier_runs_request_that_is_never_decided_does_not_keep_a_deferred_sensor(sandbox, clock, warehouse):
    warehouse.fill(1)
    sandbox.fault("silent_loss", attribute="EmailAddress", value="customer0@example.org")
    run_night_that_closes_early(Night("one"), clock, warehouse)
    clock.advance(40_000)
    sandbox.clear_faults()
    begun, night = clock.now, Night("two")
    wait = DeferredWait(night, sync(night, warehouse))
    assert wait.run()["counts"] == {"read": 1, "created": 1}
    assert clock.now - begun < 60
    assert wait.starts == 2


def test_an_earlier_runs_request_gets_its_verdict_from_a_deferred_sensor(sandbox, clock, warehouse):
    warehouse.fill(1)
    sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="customer0@example.org")
    run_night_that_closes_early(Night("one"), clock, warehouse)
    night = Night("two")
    warehouse.put(customer(1))
    wait_deferred(night, sync(night, warehouse))
    assert warehouse.states() == {"0": "created", "1": "created"}
