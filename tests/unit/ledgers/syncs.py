"""Writing and recalling rows in the ledger of a sync."""

from __future__ import annotations

from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sync import SyncLedger

NOW, SETTLE_TIMEOUT = 1_700_000_000.0, 1_000.0


def run_named(name: str, map_index: int = -1) -> RunOfTask:
    return RunOfTask("nightly", name, "sync", map_index)


def intent(key: str = "k", fingerprint: str = "A") -> Entry:
    return Entry(0, State.IN_DOUBT, key, fingerprint, attempts=1)


def sent(ledger: SyncLedger, key: str, fingerprint: str, state: State, **more: Any) -> Entry:
    """Write intent and outcome of a row."""
    ledger.write([intent(key, fingerprint)])
    entry = Entry(0, state, key, fingerprint, **{"request_id": f"r-{key}-{fingerprint}", "accepted_at": NOW, **more})
    ledger.write([entry])
    return entry


def remembered(ledger: SyncLedger, key: str = "k") -> LeadMemory:
    return ledger.recall([key])[key]


def last_of(known: LeadMemory) -> Entry:
    """Return the last entry that is known of a lead."""
    assert known.last is not None
    return known.last
