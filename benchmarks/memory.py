"""
What memory a task takes for each row: resident, of a process of its own, sampled.

A capture that is given a list of leads, without a SQL ledger and with one (SQLite), and a sync of the same rows, at
several sizes; each sends to a server that accepts whatever comes. Of a capture it counts what its process has at the
most beyond what it has when the leads are made; of a sync, beyond what it has when all is imported. Leads are counted
by themselves. Without a SQL ledger a capture returns its receipts, and Airflow's task state store, which is in another
process, has a copy; here nothing keeps one.

    python -m benchmarks.memory [--rows 10000 50000 100000] [--write]

exits with 1 if a capture with a SQL ledger, or a sync, takes more than 100 bytes for each further row, from the second
largest size to the largest. ``--write`` writes the table and the chart of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import nightly_sync, page
from benchmarks.processes import quiet_airflow, sampled

#: Bytes that each further row may take.
GOAL = 100
WITHOUT, WITH, SYNC = "capture, no SQL ledger", "capture, SQL ledger", "sync"


def _context() -> Any:
    instance = SimpleNamespace(
        dag_id="memory", run_id="night", task_id="send", map_index=-1, try_number=1, xcom_push=lambda **_: None
    )
    return {"ti": instance}


def _leads(rows: int) -> list[dict[str, Any]]:
    names = ["mx_Id", *(one if isinstance(one, str) else one[0] for one in nightly_sync.MAPPING.values())]
    return [dict(zip(names, nightly_sync.customer(n), strict=True)) for n in range(rows)]


def part(kind: str, rows: int) -> None:
    """Run one task in this process, and print as JSON the megabytes that it has before it begins."""
    import psutil

    from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
    from airflow_provider_leadsquared.tasks import submitting  # noqa: F401 - as a running task has it
    from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

    task: Any
    if kind == SYNC:
        task = SqlToLeadSquaredOperator(
            task_id="send",
            sql="SELECT * FROM customers ORDER BY id",
            conn_id="warehouse",
            row_key="id",
            mapping=nightly_sync.MAPPING,
            policies={"unknown_attribute": "warn"},
            ledger_conn_id="ledger",
        )
    else:
        ledger: dict[str, Any] = {"ledger_conn_id": "ledger"} if kind == WITH else {}
        task = LeadCaptureOperator(task_id="send", leads=_leads(rows), row_key="mx_Id", **ledger)
    gc.collect()
    before = psutil.Process().memory_info().rss / 2**20
    counts = task.execute(_context())["counts"]
    if counts.get("open") != rows:
        raise RuntimeError(f"not all rows were sent: {counts}")
    print(json.dumps({"before": before}))


def measure(kind: str, rows: int) -> dict[str, Any]:
    """Run one task against a fresh server and ledger, and return its megabytes: before, and at the most."""
    from benchmarks.sending import connect

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memory-")))
        connect(stack)
        for name in ("warehouse", "ledger"):
            address = {"conn_type": "sqlite", "host": str(folder / f"{name}.db")}
            os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(address)
        if kind == SYNC:
            nightly_sync.fill(folder / "warehouse.db", rows)
        return sampled("benchmarks.memory", "--part", kind, "--rows", str(rows))


def show(found: dict[str, dict[int, dict[str, Any]]], command: str, *, is_written: bool) -> bool:
    """Print and write the table and the chart; return whether all goals are met."""
    rows, verdicts = [], []
    for kind, results in found.items():
        beyond = {size: one["megabytes"] - one["before"] for size, one in results.items()}
        smaller, larger = sorted(beyond)[-2:]
        each = (beyond[larger] - beyond[smaller]) * 2**20 / (larger - smaller)
        verdict = None if kind == WITHOUT else each <= GOAL
        verdicts.append(verdict is not False)
        cells = [f"{results[size]['megabytes']:,.0f} MB, {beyond[size]:,.0f} beyond" for size in sorted(beyond)]
        goal = "" if verdict is None else f"≤ {GOAL}"
        rows.append([kind, *cells, f"{max(each, 0):,.0f}", goal, page.is_met(verdict)])
    sizes = sorted(next(iter(found.values())))
    head = ["task", *(f"{size:,} rows" for size in sizes), "bytes a further row", "goal", "met"]
    page.publish("memory", f"{page.conditions(command)}\n\n{page.table(head, rows)}", is_written=is_written)
    if is_written:
        with page.chart("memory") as axes:
            for kind, results in found.items():
                heights = [results[size]["megabytes"] - results[size]["before"] for size in sizes]
                axes.plot(sizes, heights, marker="o", label=kind)
            axes.set(xlabel="rows", ylabel="MB beyond the leads", ylim=(0, None), title="Resident memory of a task")
            axes.legend()
    return all(verdicts)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000, 100_000], help="sizes, two or more")
    parser.add_argument("--write", action="store_true", help="write table and chart into docs/performance.md")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part(options.part, options.rows[0])
        return 0
    if len(set(options.rows)) < 2:
        parser.error("--rows takes two sizes or more: what a further row takes is between them")
    with tempfile.TemporaryDirectory(prefix="memory-") as home:
        os.environ["AIRFLOW_HOME"] = home
        quiet_airflow()
        found = {kind: {rows: measure(kind, rows) for rows in options.rows} for kind in (WITHOUT, WITH, SYNC)}
    command = f"python -m benchmarks.memory --rows {' '.join(map(str, options.rows))}"
    return int(not show(found, command, is_written=options.write))


if __name__ == "__main__":
    sys.exit(main())
