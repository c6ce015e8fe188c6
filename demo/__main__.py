"""The demonstration: two nights of a sync from a warehouse, by a real Airflow, to a LeadSquared on this machine."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import requests

from airflow_provider_leadsquared.sandbox import Sandbox
from demo import report
from demo.column_names import read_mapping
from demo.customers import Customers
from demo.own_file import OwnFile
from demo.progress import Progress
from demo.truth import Fields, Night, Record, mismatches
from local_airflow import LocalAirflow, LocalAirflowError

SPEED = 6.0
ALLOWED_REJECTS = 0.2
LINES = "SELECT * FROM leadsquared_ledger WHERE run_id = ? ORDER BY row_no"
REFUSED = "SELECT * FROM leadsquared_ledger_last WHERE state IN ('rejected', 'failed')"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the demonstration.

    :return: 0 if all that the tasks reported is true, 1 if not or if something failed, 2 for an unusable input
    """
    options = _options(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that a pipe shows it as it happens
    # SIGINT too: a shell that starts this in the background has it ignored.
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, _end)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadsquared-demo-")))
            # Importing Airflow, as the example does, writes into its home: not into the user's.
            os.environ["AIRFLOW_HOME"] = str(folder)
            return _demonstrate(options, folder, stack)
    except KeyboardInterrupt:
        print("\nInterrupted. Sandbox and Airflow have ended, nothing is left running.")
        return 130
    except (LocalAirflowError, TimeoutError) as error:
        print(f"\nThe demonstration failed. {error}", file=sys.stderr)
        return 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    environment = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--leads", default=environment("LEADS"), help="a CSV file of your own (or LEADS=…)")
    parser.add_argument(
        "--mapping",
        default=environment("MAPPING"),
        help='a JSON file that names lead fields of its columns, {"E-mail": "EmailAddress"} (or MAPPING=…)',
    )
    parser.add_argument("--count", type=int, default=200, help="how many customers to invent if no file is given")
    parser.add_argument(
        "--keep",
        action="store_true",
        default=environment("KEEP", "") not in ("", "0"),
        help="leave sandbox and Airflow up until Ctrl-C (or KEEP=1)",
    )
    return parser.parse_args(argv)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that everything that was started is ended too."""
    raise KeyboardInterrupt


def _demonstrate(options: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    from airflow_provider_leadsquared.exceptions import RowSourceError

    warehouse = folder / "warehouse.db"
    try:
        given = _given(options, warehouse)
    except (RowSourceError, ValueError) as error:
        print(f"These leads cannot be used: {error}", file=sys.stderr)
        return 2

    print(
        report.paragraph(
            f"""This is two nights of a sync: {given.described} go from a warehouse into LeadSquared, and in the second
            night only what has changed. The Airflow is real, the warehouse is a file of SQLite, LeadSquared is a
            sandbox that speaks its protocol. All run on this machine only, nothing leaves it, and all end with this
            program, in about a minute and a half."""
        )
    )
    print()
    _print(report.fields(given.columns, given.row_key))
    sandbox = stack.enter_context(Sandbox(speed=SPEED, fields=given.fields, **Fields.SWITCHES))
    known = _prepare(sandbox, given)
    print(f"\n1  The sandbox is up: {sandbox.url}")
    print(f"   In its CRM so far: {len(known):,} leads. Ordered for the first night: {given.ordered}")
    print("2  Airflow starts: API server, scheduler, DAG processor …")
    started = time.monotonic()
    environment = {
        "AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection()),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # nights come when this program says so
    }
    airflow = stack.enter_context(LocalAirflow(given.dags, dag_ids=[given.dag_id], env=environment))
    print(f"   It is up after {time.monotonic() - started:.0f} s: {airflow.url}")

    nights: list[Night] = []
    print(f"3  Night 1: the DAG {given.dag_id} runs")
    night, red = _run(airflow, sandbox, given, warehouse, nights)
    first = Record(sandbox.requests(), sandbox.leads(), sandbox.polls(), known)
    _print(report.counts(night))
    _print(report.first_night())
    print(report.heading("Why some were not taken"))
    if any(line["reason_class"] for line in night.lines):
        print(report.paragraph(given.arranged))
    _print(report.reasons(night.lines, with_messages=True))
    _print(report.colours(ALLOWED_REJECTS, red))
    _print(report.polls(first, SPEED))

    print("\n4  A day goes by in the warehouse:")
    _print(f"   - {change}" for change in given.live_a_day(_rejected(night)))
    sandbox.clear_faults()
    print("5  Night 2: the same DAG runs again")
    night, red = _run(airflow, sandbox, given, warehouse, nights)
    _print(report.counts(night))
    _print(report.second_night())
    print(report.heading("What the ledger in the warehouse says in the morning"))
    print("Rows that are not in the CRM as the warehouse has them, of all nights:")
    _print(report.reasons(_not_delivered(warehouse, night)))

    record = Record(sandbox.requests(), sandbox.leads(), sandbox.polls(), known)
    found = mismatches(nights, record, Fields(given.fields))
    _print(report.truth(nights, record, found))
    _print(report.commands(warehouse if options.keep else None))
    if options.keep:
        print(f"\nThe CRM:        {sandbox.url}\nAirflow:        {airflow.url}/dags/{given.dag_id}")
        print(f"The warehouse:  {warehouse}\nAll stay until you press Ctrl-C.")
        _await_interrupt()
    return 1 if found else 0


def _given(options: argparse.Namespace, warehouse: Path) -> Customers | OwnFile:
    """
    Fill the warehouse with what is to be sent.

    :raises ValueError: An option or a file cannot be used.
    :raises RowSourceError: The file of leads cannot be read.
    """
    if options.leads:
        mapping = read_mapping(Path(options.mapping)) if options.mapping else {}
        return OwnFile(warehouse, Path(options.leads).resolve(), mapping)
    if options.mapping:
        raise ValueError("MAPPING is for a file of your own; name it too, LEADS=leads.csv")
    return Customers(warehouse, options.count)


def _await_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _prepare(sandbox: Sandbox, given: Customers | OwnFile) -> frozenset[str]:
    """Put leads into the CRM and troubles on their way; return the ids of those leads."""
    keys = {"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key}
    with requests.Session() as http:
        http.trust_env = False  # neither a proxy nor a .netrc stands between us and loopback
        for lead in given.known:
            pairs = [{"Attribute": name, "Value": value} for name, value in lead.items()]
            url = f"{sandbox.url}/v2/LeadManagement.svc/Lead.Capture"
            http.post(url, params=keys, json=pairs, timeout=10).raise_for_status()
    sandbox.add_visitors(*given.visitors)
    for fault in given.faults:
        sandbox.fault(**fault)
    return frozenset(lead["id"] for lead in sandbox.leads())


def _run(
    airflow: LocalAirflow, sandbox: Sandbox, given: Customers | OwnFile, warehouse: Path, nights: list[Night]
) -> tuple[Night, list[str]]:
    """Run the DAG once and add the night to the others; return it, and its red tasks."""
    progress = Progress(sys.stdout)
    rows, posts = given.rows(), len(sandbox.posts())
    run_id = airflow.trigger(given.dag_id, {"allowed_rejects": ALLOWED_REJECTS})
    timeout = 180 + len(rows) / 50
    airflow.wait(given.dag_id, run_id, timeout, lambda tasks: progress.tell(tasks, sandbox.counts()))
    progress.end()
    counts: dict[str, Any] = {}
    for task_id in ("sync", "wait"):
        try:
            counts[task_id] = airflow.xcom(given.dag_id, run_id, task_id)["counts"]
        except LocalAirflowError as error:
            log = airflow.task_log(given.dag_id, run_id, task_id).splitlines()[-30:]
            raise LocalAirflowError("\n".join([f"Task {task_id} returned nothing. Its log ends so:", *log])) from error
    lines = _ask(warehouse, LINES, run_id)
    nights.append(Night(rows, counts["sync"], counts["wait"], lines, sandbox.posts()[posts:]))
    tasks = airflow.task_instances(given.dag_id, run_id)
    return nights[-1], [task.task_id for task in tasks if task.state != "success"]


def _rejected(night: Night) -> list[str]:
    return [line["row_key"] for line in night.lines if line["state"] == "rejected"]


def _not_delivered(warehouse: Path, night: Night) -> list[Mapping[str, Any]]:
    """Tell what the CRM has refused and what the last night has set aside."""
    set_aside = [line for line in night.lines if line["state"] in ("invalid", "superseded")]
    return [*_ask(warehouse, REFUSED), *set_aside]


def _ask(warehouse: Path, sql: str, *values: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(warehouse)) as database:
        database.row_factory = sqlite3.Row
        return [dict(line) for line in database.execute(sql, values)]


if __name__ == "__main__":
    sys.exit(main())
