"""Limits of what a sync remembers: each test says what should hold, and fails today."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.ledgers.memory import INTENT_TIMEOUT
from tests.integration.sync.nights import Night, customer, run_night, values_in_crm, values_in_warehouse
from tests.integration.sync.test_one_lead_several_rows import WITH_PHONE, only
from tests.integration.tasks import error_of


@pytest.mark.xfail(strict=True, reason="two spellings of a phone take turns at being the key of their lead")
def test_rows_that_reach_one_lead_by_two_spellings_of_its_phone_do_not_take_turns(sandbox, clock, on_sqlite):
    only(on_sqlite, (1, None, "Pune", "9000000001"), (2, None, "Delhi", "+91-9000000001"))
    for night in ("1", "2", "3", "4"):
        counts = run_night(Night(night), clock, on_sqlite, mapping=WITH_PHONE)
    assert counts == {"read": 2, "superseded": 1, "unchanged": 1}


@pytest.mark.xfail(strict=True, reason="a sync compares with its own last sending only")
def test_a_row_is_not_unchanged_after_another_sync_wrote_the_same_attribute(sandbox, clock, on_sqlite):
    for run_id, city, sync in (("1", "Pune", "nightly"), ("2", "Delhi", "backfill"), ("3", "Pune", "nightly")):
        only(on_sqlite, customer(1, city))
        run_night(Night(run_id), clock, on_sqlite, sync=sync)
    assert values_in_crm(sandbox) == values_in_warehouse(on_sqlite)


@pytest.mark.xfail(strict=True, reason="a RequestId is compared with those of the same run only")
def test_a_receipt_with_the_request_id_of_an_earlier_run_is_no_verdict(sandbox, clock, on_sqlite):
    only(on_sqlite, customer(1, "Pune"))
    run_night(Night("1"), clock, on_sqlite)
    only(on_sqlite, customer(1, "Delhi"))
    sandbox.fault("repeated_request_id", accepted=False, endpoint="capture", calls=1)
    error_of(lambda: run_night(Night("2"), clock, on_sqlite))
    clock.advance(INTENT_TIMEOUT + 1)
    run_night(Night("3"), clock, on_sqlite)
    assert values_in_crm(sandbox) == values_in_warehouse(on_sqlite)
