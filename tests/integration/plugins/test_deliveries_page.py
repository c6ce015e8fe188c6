"""The deliveries page: what it shows, to whom, and what it says when it cannot."""

from __future__ import annotations

import time

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.runs import RunOfTask


def test_first(browse, database):
    NOW = time.time()
    ledger = database.ledger(run=RunOfTask("nightly", "n1", "sync"))
    ledger.claim("t")
    ledger.write(
        [
            Entry(
                n,
                State.REJECTED if n % 3 else State.CREATED,
                f"k{n}",
                f"{n:032x}",
                request_id=f"r{n}",
                accepted_at=NOW - 100,
                settled_at=NOW - 50,
                reason_class="MXDuplicateEntryException" if n % 3 else None,
            )
            for n in range(10)
        ]
        + [Entry(20, State.OPEN, "o1", "ff", request_id="ro", accepted_at=NOW - 100)]
    )
    for path in (
        "",
        "run?dag_id=nightly&run_id=n1",
        "rows?dag_id=nightly&run_id=n1&state=rejected",
        "open",
        "key?key=k1",
        "style.css",
        "page.js",
        "nothing",
    ):
        for user in ("all", None, "stranger", "nightly", "nothing"):
            t0 = time.perf_counter()
            r = browse(user).get("/leadsquared/" + path)
            print(user, path, r.status_code, len(r.text), round(time.perf_counter() - t0, 3))
            if user == "all":
                print(r.text)
