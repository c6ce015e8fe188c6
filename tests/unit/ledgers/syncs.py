"""Sending and comparing rows with the ledger of a sync."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sync import SyncLedger

MatchKeys = tuple[tuple[str, str], ...]
NOW, SETTLE_TIMEOUT = 1_700_000_000.0, 1_000.0


def run_named(name: str, map_index: int = -1) -> RunOfTask:
    return RunOfTask("nightly", name, "sync", map_index)


def begun(ledger: SyncLedger) -> SyncLedger:
    """Return the ledger with its try begun."""
    ledger.begin()
    return ledger


def payload(key: str = "k", fingerprint: str = "A", match_keys: MatchKeys = ()) -> Payload:
    """Return what is sent for a row; without match keys it has an address of its own."""
    return Payload(b"[]", match_keys or (("EmailAddress", f"{key}@example.org"),), fingerprint)


def intend(
    ledger: SyncLedger, key: str = "k", fingerprint: str = "A", match_keys: MatchKeys = (), **more: Any
) -> Entry:
    """Write the intent of a row, and return what the ledger made of it."""
    entry = Entry(0, State.IN_DOUBT, key, fingerprint, **{"attempts": 1, **more})
    [intended] = ledger.intend([(entry, payload(key, fingerprint, match_keys))])
    return intended


def accepted(
    ledger: SyncLedger, key: str = "k", fingerprint: str = "A", match_keys: MatchKeys = (), **more: Any
) -> Entry:
    """Write intent and receipt of a row."""
    of_intent = {name: more[name] for name in ("api", "attempts") if name in more}
    intended = intend(ledger, key, fingerprint, match_keys, **of_intent)
    entry = intended.moved(State.OPEN, **{"request_id": f"r-{key}-{fingerprint}", "accepted_at": NOW, **more})
    ledger.write([entry])
    return entry


def judge(requests: OpenRequests, state: State, **verdict: Any) -> None:
    """Write one verdict for all open requests."""
    if state.is_confirmed:
        verdict = {"lead_id": "lead", **verdict}
    entries = requests.load().entries.values()
    requests.write([entry.moved(state, settled_at=NOW, **verdict) for entry in entries])


def sent(
    ledger: SyncLedger, requests: Callable[..., OpenRequests], key: str, fingerprint: str, state: State, **verdict: Any
) -> None:
    """Send a row and write its verdict."""
    accepted(begun(ledger), key, fingerprint)
    judge(requests(), state, lead_id=f"lead of {key}" if state.is_confirmed else None, **verdict)


def compared(ledger: SyncLedger, key: str = "k", fingerprint: str = "A", match_keys: MatchKeys = ()) -> Finding:
    """Return what the memory says of a row."""
    row = Entry(0, State.UNSENT, key, fingerprint), payload(key, fingerprint, match_keys)
    [found] = begun(ledger).compare([row])
    return found
