"""
The pictures of the documentation, taken of a real Airflow by headless Chromium.

A sandbox, a warehouse and an Airflow start on this machine; thirteen nights are written into the ledger, and a
fourteenth is run, of which the CRM refuses some rows. All customers are invented.

    python -m docs.screenshots [--out docs/images] [--chromium /usr/bin/chromium]

needs the extra ``browser`` and a Chromium (Debian's package ``chromium``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from airflow_provider_leadsquared.sandbox import Sandbox
    from local_airflow import LocalAirflow

DAG_ID, LEDGER = "nightly_customers", "leadsquared_ledger"
DAY = 86_400
DAG_FILE = f"""
from airflow.sdk import DAG

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

with DAG("{DAG_ID}", schedule=None):
    sync = SqlToLeadSquaredOperator(
        task_id="sync",
        conn_id="warehouse",
        sql="SELECT * FROM customers ORDER BY id",
        row_key="id",
        mapping={{"email": "EmailAddress", "first_name": "FirstName", "city": "mx_City"}},
    )
    LeadStatusSensor(task_id="wait", request_ids=sync.output)
"""  # noqa: S608 - a DAG's file, no statement
#: Rows that the sandbox's CRM refuses, by their city, and as what.
REFUSED = {"Kochi": "MXDuplicateEntryException", "Agra": "MXInvalidEntityReferenceException"}
CITIES = ("Pune", "Delhi", "Mumbai", "Chennai", "Jaipur", "Pune", "Delhi", "Kochi", "Mumbai", "Surat", "Agra", "Pune")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screenshots-")))
        os.environ["AIRFLOW_HOME"] = str(folder / "home")
        from playwright.sync_api import sync_playwright

        from airflow_provider_leadsquared.sandbox import Sandbox
        from local_airflow import LocalAirflow

        sandbox = stack.enter_context(Sandbox(speed=20.0, fields=[{"SchemaName": "mx_City", "DataType": "Text"}]))
        warehouse = prepare(folder, sandbox)
        environment = {
            "AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection()),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
            "AIRFLOW_CONN_NEW": json.dumps({"conn_type": "sqlite", "host": str(folder / "new.db")}),
            "AIRFLOW__LEADSQUARED__LEDGERS": "warehouse, new",
        }
        os.environ |= environment
        airflow = stack.enter_context(LocalAirflow(folder / "dags", dag_ids=[DAG_ID], env=environment))
        run_id = f"night_of_{datetime.now(UTC):%Y-%m-%d}"
        airflow.trigger(DAG_ID, run_id=run_id)
        airflow.wait(DAG_ID, run_id, 180)
        report = folder / "report.html"
        write_report(report)
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])  # as root it needs this
        take_all(browser, airflow, sandbox, report, run_id, options.out)
        browser.close()
    for path in sorted(options.out.glob("*.png")):
        print(f"{path.name}: {path.stat().st_size / 1_000:.0f} kB")


def prepare(folder: Path, sandbox: Sandbox) -> Path:
    """Write warehouse, ledger and DAG, and let the sandbox refuse some rows; return the warehouse."""
    (folder / "dags").mkdir()
    (folder / "dags" / "nightly.py").write_text(DAG_FILE)
    for city, error in REFUSED.items():
        sandbox.fault("reject", attribute="mx_City", value=city, exception=error, message="Refused for this picture")
    warehouse = folder / "warehouse.db"
    connect = partial(sqlite3.connect, warehouse)
    with connect() as connection:
        connection.execute("CREATE TABLE customers (id TEXT, email TEXT, first_name TEXT, city TEXT)")
        connection.executemany(
            "INSERT INTO customers VALUES (?, ?, ?, ?)",
            [
                (f"C-{1001 + n}", f"customer{n}@example.com" if n % 20 != 7 else "no address", f"Name {n}", city)
                for n, city in enumerate(CITIES * 4)
            ],
        )
    write_nights(connect)
    write_nothing(partial(sqlite3.connect, folder / "new.db"))
    return warehouse


def write_nights(connect: Callable[[], Any]) -> None:
    """Write thirteen nights into the ledger."""
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.delivery.states import State
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.runs import COUNTS, RunOfTask
    from airflow_provider_leadsquared.ledgers.sql import SqlLedger

    chance = random.Random(13)  # noqa: S311 - for a picture
    midnight = time.time() // DAY * DAY
    for back in range(13, 0, -1):
        began = midnight - back * DAY + 2 * 3_600
        run = RunOfTask(DAG_ID, f"night_of_{datetime.fromtimestamp(began, UTC):%Y-%m-%d}", "sync")
        ledger = SqlLedger(Database(connect, table=LEDGER), run=run, clock=partial(float, began))
        ledger.claim("try")
        rows = chance.randint(25, 90) if back % 7 else 140
        states = [State.CREATED] * (rows // 3) + [State.UPDATED] * (rows - rows // 3)
        states += [State.REJECTED] * chance.randint(0, 9) + [State.INVALID] * chance.randint(0, 4)
        states += [State.SUPERSEDED] * chance.randint(0, 5)
        ledger.write(
            [
                Entry(
                    number,
                    state,
                    f"C-{1000 + chance.randint(0, 999)}-{number}",
                    f"{number:032x}",
                    accepted_at=began + number / 10 if state.was_sent else None,
                    settled_at=began + number / 10 + chance.choice((20, 25, 30, 40, 150)) if state.was_sent else None,
                    reason_class="MXDuplicateEntryException" if state.is_reject else None,
                )
                for number, state in enumerate(states)
            ],
            metadata={COUNTS: {"read": 48_000, "unchanged": 48_000 - len(states)}},
        )
        with connect() as connection:
            at = f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S.%f}"
            connection.execute(f"UPDATE {LEDGER}_runs SET began_at = ? WHERE run_id = ?", (at, run.run_id))  # noqa: S608 - our own name


def write_nothing(connect: Callable[[], Any]) -> None:
    """Write the tables of a ledger without a run."""
    from airflow_provider_leadsquared.ledgers.database import Database

    with Database(connect, table=LEDGER).writing():
        pass


def write_report(path: Path) -> None:
    """Write the report of the last night, as the command line does."""
    command = [sys.executable, "-m", "airflow_provider_leadsquared", "report", "--ledger-conn-id", "warehouse"]
    subprocess.run([*command, "--out", str(path)], check=False, capture_output=True)  # noqa: S603 - it ends with 1


def take_all(browser: Browser, airflow: LocalAirflow, sandbox: Sandbox, report: Path, run_id: str, out: Path) -> None:
    """Take each picture, and that of the page in both schemes."""

    @contextmanager
    def picture(name: str, *, scheme: Literal["light", "dark"] = "light", height: int = 900) -> Iterator[Page]:
        page = browser.new_page(viewport={"width": 1_280, "height": height}, color_scheme=scheme)
        page.goto(airflow.url)  # logs in
        yield page
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out / f"{name}.png")
        page.close()

    of_run = f"dag_id={DAG_ID}&run_id={run_id}"
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        with picture(f"page-runs-{scheme}", scheme=scheme, height=1_000) as page:
            page.goto(f"{airflow.url}/plugin/leadsquared")
            page.frame_locator("iframe").get_by_role("heading", name="Runs", exact=True).wait_for()
    with picture("page-run", height=960) as page:
        page.goto(f"{airflow.url}/leadsquared/run?{of_run}&task_id=sync")
    with picture("page-rows", height=420) as page:
        page.goto(f"{airflow.url}/leadsquared/rows?{of_run}&state=rejected")
    with picture("page-empty", height=320) as page:
        page.goto(f"{airflow.url}/leadsquared/?ledger=new")
    with picture("red-task", height=760) as page:
        page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{run_id}/tasks/wait/details")
        page.get_by_role("link", name="Deliveries").wait_for()
    with picture("connection-form", height=1_000) as page:
        open_form(page, airflow.url)
    with picture("report", height=760) as page:
        page.goto(report.as_uri())
    with picture("sandbox-page", height=760) as page:
        page.goto(sandbox.url)


def open_form(page: Page, url: str) -> None:
    """Open Airflow's form for a new connection, as far as it concerns this package."""
    page.goto(f"{url}/connections")
    page.get_by_role("button", name=re.compile("add connection", re.I)).first.click()
    page.get_by_role("dialog").get_by_role("combobox").first.click()
    page.keyboard.type("leadsquared")
    page.keyboard.press("Enter")
    page.get_by_text("Region and Async API key").first.click()
    page.get_by_label("Region").first.wait_for()


if __name__ == "__main__":
    main()
