"""The ledger of a sync, where several tasks use it at the same time."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from time import time

import psycopg2

from airflow_provider_leadsquared.delivery.ledger import Entry
from airflow_provider_leadsquared.delivery.sql_ledger import RunOfTask
from airflow_provider_leadsquared.delivery.sync_ledger import OpenRequests, SyncLedger
from airflow_provider_leadsquared.delivery.verdicts import State, Verdict

FIRST_NIGHT = RunOfTask("nightly", "2026-01-01", "sync")


def test_partitions_that_settle_the_same_requests_at_once_do_not_hinder_each_other(postgres):
    common = {"placeholder": "%s", "table": f"ledger_{uuid.uuid4().hex}", "sync": "nightly", "clock": time}
    ledger = SyncLedger(partial(psycopg2.connect, postgres), run=FIRST_NIGHT, patience=1, **common)
    rows = [Entry(row, State.IN_DOUBT, f"k{row}", f"fingerprint {row}") for row in range(200)]
    ledger.write(rows)
    ledger.write([row.moved(State.OPEN, request_id=str(uuid.uuid4()), accepted_at=time()) for row in rows])
    together = Barrier(6, timeout=30)

    def settle(map_index: int) -> int:
        run = RunOfTask("nightly", "2026-01-02", "sync", map_index)
        requests = OpenRequests(partial(psycopg2.connect, postgres), runs=[run], **common)
        found = list(requests.load().entries.values())
        together.wait()
        answered = found[::-1] if map_index % 2 else found
        requests.write([entry.judged(Verdict(State.CREATED), time()) for entry in answered])
        return len(requests.load().entries)

    with ThreadPoolExecutor(6) as partitions:
        assert list(partitions.map(settle, range(6))) == [0] * 6
