"""The SQL ledger: what tasks that share a table see of each other, and what is left of a write that fails."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.ledgers.errors import LedgerDataError, LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from tests.unit.ledgers.stores import by_identity, entry_of


@pytest.mark.parametrize(
    "other", [RunOfTask("sync", "2026-01-02", "capture"), RunOfTask("sync", "2026-01-01", "capture", 0)]
)
def test_runs_and_mapped_tasks_share_a_table_but_no_entry(database, other):
    database.ledger().write([entry_of(0)], metadata={"a": 1})
    records = database.ledger(run=other).load()
    assert (records.entries, records.metadata) == ({}, {})


def test_a_change_that_fails_half_way_is_undone(database):
    ledger = database.ledger()
    ledger.write([entry_of(0)])
    with pytest.raises(LedgerUnavailableError):
        ledger.write([entry_of(1), entry_of(2, reason=object())])
    assert ledger.load().entries == by_identity([entry_of(0)])


@pytest.mark.parametrize("reason", ["half of a pair: \ud800"])
def test_a_value_that_the_database_cannot_take_is_no_reason_to_try_again(database, reason):
    with pytest.raises(LedgerDataError):
        database.ledger().write([entry_of(0, reason=reason)])
