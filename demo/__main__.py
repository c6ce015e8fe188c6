"""The demonstration: leads from a CSV file, through a real Airflow, into a LeadSquared on this machine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import requests

from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.sandbox.fields import BUILT_IN
from demo import report
from demo.leads import FIELDS, invent_leads
from demo.local_airflow import LocalAirflow, LocalAirflowError
from demo.progress import Progress
from demo.truth import Record, Reported, Row, mismatches

DAG_ID = "csv_to_leadsquared"
DAGS = Path(__file__).resolve().parent.parent / "dags_examples"
SPEED = 6.0
ALLOWED_REJECTS = 0.2
#: The share of a user's own leads that meet a system error twice.
STUMBLING = 0.03
_PSEUDO_ATTRIBUTES = ("ProspectID", "SearchBy")


@dataclass(frozen=True)
class Input:
    """What goes in: a file and its rows, the fields that it needs, leads that are known before, and troubles."""

    file: Path
    rows: Sequence[Row]
    fields: Sequence[Mapping[str, Any]]
    known: Sequence[Mapping[str, str]]
    faults: Sequence[Mapping[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the demonstration.

    :return: 0 if all that the tasks reported is true, 1 if not or if something failed, 2 for an unusable input
    """
    options = _options(argv)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that a pipe shows it as it happens
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
        "--mapping", default=environment("MAPPING"), help="a JSON file that maps its columns (or MAPPING=…)"
    )
    parser.add_argument("--count", type=int, default=200, help="how many leads to invent if no file is given")
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
    from dags_examples.csv_to_leadsquared import UnusableFileError

    try:
        given = _own(options.leads, options.mapping) if options.leads else _invented(options.count, folder)
    except (UnusableFileError, ValueError) as error:
        print(f"These leads cannot be used: {error}", file=sys.stderr)
        return 2

    count = f"{len(given.rows):,}"
    what = f"the {count} leads of {given.file.name}" if options.leads else f"a CSV file of {count} invented leads"
    print(
        report.paragraph(
            f"""This sends {what} to LeadSquared with an Airflow DAG. The Airflow is real; LeadSquared is a sandbox that
            speaks its protocol. Both run on this machine only, nothing leaves it, and both end with this program, in
            about a minute."""
        )
    )
    sandbox = stack.enter_context(Sandbox(speed=SPEED, fields=given.fields, overlong="reject"))
    known = _prepare(sandbox, given)
    print(f"\n1  The sandbox is up: {sandbox.url}")
    print(f"   In its CRM so far: leads {len(known):,}, fields made for this file {len(given.fields):,}")
    print("2  Airflow starts: API server, scheduler, DAG processor, triggerer …")
    started = time.monotonic()
    airflow = stack.enter_context(
        LocalAirflow(
            DAGS,
            dag_ids=[DAG_ID],
            env={"AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection())},
        )
    )
    print(f"   It is up after {time.monotonic() - started:.0f} s: {airflow.url}")
    print(f"3  The DAG {DAG_ID} runs: capture, then wait, then report")
    reported, colours = _run(airflow, sandbox, given, options.mapping)
    record = Record(sandbox.posts(), sandbox.requests(), sandbox.leads(), sandbox.looks(), known)
    found = mismatches(given.rows, reported, record)
    _print(report.books(reported))
    _print(report.rejects(given.rows, reported, ALLOWED_REJECTS, colours))
    _print(report.looks(record, SPEED))
    _print(report.truth(given.rows, record, found))
    print(report.heading("Where to see the leads"))
    if options.keep:
        print(f"The CRM:  {sandbox.url}\nAirflow:  {airflow.url}/dags/{DAG_ID}\nBoth stay up until you press Ctrl-C.")
        _await_interrupt()
    else:
        print(
            report.paragraph(
                f"""On the sandbox's page, {sandbox.url}, which ends now, as all else does. To keep it and Airflow's
                pages open until Ctrl-C: make demo KEEP=1"""
            )
        )
    return 1 if found else 0


def _await_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _invented(count: int, folder: Path) -> Input:
    invented = invent_leads(count)
    file = folder / "leads.csv"
    invented.write(file)
    faults = [
        {"kind": "system_errors", "count": 2, "attribute": "EmailAddress", "value": address}
        for address in invented.stumbling
    ]
    _, rows = _read(file, None)
    return Input(file, rows, FIELDS, invented.known, faults)


def _own(leads: str, mapping: str | None) -> Input:
    """Take the user's file; whatever fields it has, the sandbox's CRM gets them too."""
    attributes, rows = _read(Path(leads).resolve(), mapping)
    standard = {field.schema_name for field in BUILT_IN if not field.schema_name.startswith("mx_")}
    own = [name for name in attributes if name not in standard and name not in _PSEUDO_ATTRIBUTES]
    faults = [{"kind": "system_errors", "count": 2, "share": STUMBLING}]
    return Input(Path(leads).resolve(), rows, [{"SchemaName": name, "DataType": "Text"} for name in own], [], faults)


def _read(file: Path, mapping: str | None) -> tuple[list[str], list[Row]]:
    """Read a file as the DAG will: the attributes it has, and its rows."""
    from dags_examples.csv_to_leadsquared import KEY, open_csv

    columns, lines = open_csv(str(file), mapping)
    rows = []
    for line, cells in lines:
        lead = {name: value for name, value in columns.lead(line, cells).items() if value is not None}
        rows.append(Row(lead.pop(KEY), lead))
    return [name for name in columns.attributes if name is not None], rows


def _prepare(sandbox: Sandbox, given: Input) -> frozenset[str]:
    """Put leads into the CRM and troubles on their way; return the ids of those leads."""
    keys = {"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key}
    with requests.Session() as http:
        http.trust_env = False  # neither a proxy nor a .netrc stands between us and loopback
        for lead in given.known:
            pairs = [{"Attribute": name, "Value": value} for name, value in lead.items()]
            url = f"{sandbox.url}/v2/LeadManagement.svc/Lead.Capture"
            http.post(url, params=keys, json=pairs, timeout=10).raise_for_status()
    for fault in given.faults:
        sandbox.fault(**fault)
    return frozenset(lead["id"] for lead in sandbox.leads())


def _run(airflow: LocalAirflow, sandbox: Sandbox, given: Input, mapping: str | None) -> tuple[Reported, dict[str, str]]:
    """Run the DAG; return what its tasks reported, and how they ended."""
    progress = Progress(sys.stdout)
    conf = {
        "csv_file": str(given.file),
        "mapping_file": None if mapping is None else str(Path(mapping).resolve()),
        "allowed_rejects": ALLOWED_REJECTS,
    }
    run_id = airflow.trigger(DAG_ID, conf)
    timeout = 180 + len(given.rows) / 50
    airflow.wait(DAG_ID, run_id, timeout, lambda tasks: progress.tell(tasks, sandbox.counts()))
    progress.end()
    outputs = {}
    for task_id in ("capture", "wait"):
        try:
            outputs[task_id] = airflow.xcom(DAG_ID, run_id, task_id)
        except LocalAirflowError as error:
            log = airflow.task_log(DAG_ID, run_id, task_id).splitlines()[-30:]
            raise LocalAirflowError("\n".join([f"Task {task_id} returned nothing. Its log ends so:", *log])) from error
    colours = {task.task_id: str(task.state) for task in airflow.task_instances(DAG_ID, run_id)}
    return Reported(**outputs), colours


if __name__ == "__main__":
    sys.exit(main())
