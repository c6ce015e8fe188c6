"""How often a ledger waits for its database: that decides how long a task takes with a database that is far away."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from airflow.sdk import BaseHook

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from tests.support.ledger_databases import CONN_ID, RUN, LedgerDatabase, with_every_connection

ROUND_TRIPS_AT_MOST = 10


def most_of(database: LedgerDatabase) -> int:
    """Return how many round trips are allowed: mysql-connector asks the server whether it is there before each."""
    return ROUND_TRIPS_AT_MOST * (2 if database.kind == "mysql_connector" else 1)


def intents(count: int) -> list[tuple[Entry, Payload]]:
    return [
        (
            Entry(row, State.IN_DOUBT, f"k{row}", f"{row:032x}", attempts=1),
            Payload(b"{}", (("EmailAddress", f"lead{row}@example.com"), ("Phone", f"+91-{row}")), f"{row:032x}"),
        )
        for row in range(count)
    ]


def accepted(rows: list[tuple[Entry, Payload]]) -> list[Entry]:
    return [replace(entry, state=State.OPEN, request_id=f"r{entry.row}", accepted_at=time.time()) for entry, _ in rows]


def judged(entries: Iterable[Entry]) -> list[Entry]:
    return [replace(entry, state=State.CREATED, lead_id=f"l{entry.row}", settled_at=time.time()) for entry in entries]


@with_every_connection
def test_200_intents_of_a_capture_are_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    with ledger_database.trips.counted() as trips:
        ledger.intend(intents(200))
    assert 1 <= trips.count <= most_of(ledger_database)


def test_600_receipts_of_a_capture_are_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    ledger.intend(intents(600))
    with ledger_database.trips.counted() as trips:
        ledger.write_outcomes(accepted(intents(600)))
    assert 1 <= trips.count <= most_of(ledger_database)


def test_200_intents_of_a_sync_are_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.claim("try")
    ledger.begin()
    ledger.compare(intents(200))  # a sync always does, before it sends
    with ledger_database.trips.counted() as trips:
        ledger.intend(intents(200))
    assert 1 <= trips.count <= most_of(ledger_database)


def test_600_receipts_of_a_sync_are_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.claim("try")
    ledger.begin()
    ledger.intend(intents(600))
    with ledger_database.trips.counted() as trips:
        ledger.write_outcomes(accepted(intents(600)))
    assert 1 <= trips.count <= most_of(ledger_database)


def test_comparing_600_rows_of_a_sync_is_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.begin()
    ledger.intend(intents(600))
    with ledger_database.trips.counted() as trips:
        ledger.compare(intents(600))
    assert 1 <= trips.count <= most_of(ledger_database)


def test_600_rows_that_a_sync_does_not_send_are_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.claim("try")
    entries = [replace(entry, state=State.INVALID, attempts=0) for entry, _ in intents(600)]
    with ledger_database.trips.counted() as trips:
        ledger.write_not_sent(entries)
    assert 1 <= trips.count <= most_of(ledger_database)


@with_every_connection
def test_a_poll_with_600_verdicts_is_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.begin()
    ledger.intend(intents(600))
    ledger.write_outcomes(accepted(intents(600)))
    requests = ledger_database.open_requests(RUN)
    entries = requests.load().entries.values()
    assert len(entries) == 600
    with ledger_database.trips.counted() as trips:
        requests.write(judged(entries), metadata={"polled_at": 1.0})
    assert 1 <= trips.count <= most_of(ledger_database)
    assert not requests.load().entries


def test_reading_600_open_requests_is_one_group(ledger_database: LedgerDatabase):
    ledger = ledger_database.sync_ledger()
    ledger.begin()
    ledger.intend(intents(600))
    ledger.write_outcomes(accepted(intents(600)))
    requests = ledger_database.open_requests(RUN)
    requests.load()
    with ledger_database.trips.counted() as trips:
        requests.load()
    assert 1 <= trips.count <= most_of(ledger_database)


def test_a_poll_of_100_mapped_captures_is_one_group(ledger_database: LedgerDatabase):
    entries = [replace(entry, row=0) for entry in accepted(intents(100))]
    requests = ledger_database.capture_requests(
        {replace(RUN, map_index=number): [entry] for number, entry in enumerate(entries)}
    )
    requests.load()
    requests.write(entries)
    with ledger_database.trips.counted() as trips:
        found = requests.load().all_entries
        requests.write(judged(found), metadata={"polled_at": 1.0})
    assert len(found) == 100
    assert 1 <= trips.count <= most_of(ledger_database)
    assert ledger_database.select("SELECT COUNT(DISTINCT map_index) FROM {table} WHERE state = 'created'") == [(100,)]


def test_the_count_is_the_number_of_waits(ledger_database: LedgerDatabase):
    with closing(BaseHook.get_hook(CONN_ID).get_conn()) as connection:
        cursor = connection.cursor()
        with ledger_database.trips.counted() as trips:
            for _ in range(50):
                cursor.execute("SELECT 1")
                cursor.fetchall()
    # psycopg 3 also opens a transaction, and prepares a statement that it has run a few times.
    assert 50 <= trips.count <= 55 or (ledger_database.kind == "mysql_connector" and trips.count <= 105)
