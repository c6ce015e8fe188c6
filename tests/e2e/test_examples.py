"""Every example runs under a scheduler, as it is written; the nightly sync does so in test_demo.py."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import airflow.sdk
import pytest

from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow, LocalAirflowError
from local_airflow.rest import TaskInstance

EXAMPLES = Path(__file__).parents[2] / "dags_examples"
HAS_DEADLINES = hasattr(airflow.sdk, "AsyncCallback")
#: Of each table of the warehouse the key's column, and how many rows it has.
TABLES = {
    "customers": ("customer_id", 3),
    "members": ("member_id", 4),
    "subscribers": ("subscriber_id", 6),
    "trials": ("trial_id", 2),
}
#: The examples that are triggered, all at once, and how many leads each delivers.
DELIVERED = {
    "capture_and_wait": 2,
    "csv_to_leadsquared": 2,
    "deferred_wait": 2,
    "partitioned_sync": 6,
    "verdicts_by_seven": 3,
    "approve_first_send": 4,  # the last, for it waits longest
}
QUESTION = "taskInstances/approve/-1/hitlDetails"
#: A person takes longer to answer. Airflow's scheduler fails a task that goes on before it has noticed that the task's
#: first process has ended.
THINKING = timedelta(seconds=20)


class Examples:
    """
    A real Airflow that runs the examples.

    :param airflow: The Airflow, with the examples among its DAGs.
    :param confs: The parameters of each example that is to run.
    """

    def __init__(self, airflow: LocalAirflow, confs: dict[str, dict[str, Any]]) -> None:
        self.airflow = airflow
        self.runs = {dag_id: self._start(dag_id, conf) for dag_id, conf in confs.items()}

    def _start(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Trigger an example. So many runs at once can find Airflow's SQLite locked; then try again."""
        for _ in range(4):
            with suppress(LocalAirflowError):
                return self.airflow.trigger(dag_id, conf, run_id="under_test")
            if any(self.airflow.pages(f"dags/{dag_id}/dagRuns", "dag_runs")):
                return "under_test"
        return self.airflow.trigger(dag_id, conf, run_id="under_test")

    def counts(self, dag_id: str) -> dict[str, int]:
        """Wait until a run has ended well, and return the counts of its sensor."""
        run = self.runs[dag_id]
        if self.airflow.wait(dag_id, run, timeout=150, on_tick=self._approve) != "success":
            failed = [task.task_id for task in self.airflow.task_instances(dag_id, run) if task.state == "failed"]
            pytest.fail("\n".join(self.airflow.task_log(dag_id, run, task_id) for task_id in failed))
        counts: dict[str, int] = self.airflow.xcom(dag_id, run, "wait")["counts"]
        return counts

    def question(self) -> dict[str, Any]:
        """Return what the person who approves is shown."""
        question: dict[str, Any] = self.airflow.api("GET", f"{self._approved_run}/{QUESTION}")
        return question

    @property
    def _approved_run(self) -> str:
        return f"dags/approve_first_send/dagRuns/{self.runs['approve_first_send']}"

    def _approve(self, tasks: list[TaskInstance]) -> None:
        """Press Approve when the question has been there for a while."""
        asked = [
            task.start_date
            for task in tasks
            if task.task_id == "approve" and task.state in ("awaiting_input", "deferred") and task.start_date
        ]
        if asked and datetime.now(UTC) - asked[0] > THINKING:
            with suppress(LocalAirflowError):  # it was answered a moment ago
                answer = {"chosen_options": ["Approve"], "params_input": {}}
                self.airflow.api("PATCH", f"{self._approved_run}/{QUESTION}", json=answer)


@pytest.fixture(scope="module")
def examples(local_airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    folder = tmp_path_factory.mktemp("of the examples")
    _fill(folder)
    left_out = {"warehouse_to_leadsquared", *([] if HAS_DEADLINES else ["verdicts_by_seven"])}
    files = [path for path in EXAMPLES.glob("*.py") if path.stem not in left_out]
    with Sandbox(speed=60) as sandbox:
        _connect(local_airflow, sandbox, folder)
        for path in files:
            shutil.copy(path, local_airflow.dags)
        names = {name for path in files for name in re.findall(r'DAG\(\s*"(\w+)"', path.read_text())}
        local_airflow.wait_for_dags(*names, timeout=60)
        # What the task that loads the table tells Airflow when it ends.
        (loaded,) = [asset for asset in local_airflow.pages("assets", "assets") if asset["name"] == "trials"]
        local_airflow.api("POST", "assets/events", json={"asset_id": loaded["id"], "extra": {}})
        confs: dict[str, dict[str, Any]] = {dag_id: {} for dag_id in DELIVERED if dag_id in names}
        confs["csv_to_leadsquared"] = {"csv_file": str(folder / "leads.csv"), "allowed_rejects": 1}
        yield Examples(local_airflow, confs)


def _connect(airflow: LocalAirflow, sandbox: Sandbox, folder: Path) -> None:
    leadsquared = sandbox.airflow_connection()
    leadsquared["extra"] = json.dumps(leadsquared["extra"])
    databases = {name: {"conn_type": "sqlite", "host": str(folder / f"{name}.db")} for name in ("warehouse", "ledger")}
    for connection_id, fields in {"leadsquared_default": leadsquared, **databases}.items():
        airflow.api("POST", "connections", json={"connection_id": connection_id, **fields})


def _fill(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "warehouse.db")) as warehouse, warehouse:
        for table, (key, count) in TABLES.items():
            warehouse.execute(f"CREATE TABLE {table} ({key} INTEGER, email TEXT, city TEXT, updated_at TIMESTAMP)")
            rows = [(n, f"{table}{n}@example.org", "Pune", "2026-01-01") for n in range(count)]
            warehouse.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", rows)
    lines = ["ID,Email,First Name,Phone,City", "1,a@example.org,Asha,,Pune", "2,,Ben,,Oslo", "3,c@example.org,,,", ""]
    (folder / "leads.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("dag_id", DELIVERED)
def test_an_example_delivers_its_leads(examples: Examples, dag_id: str) -> None:
    if dag_id == "verdicts_by_seven" and not HAS_DEADLINES:
        pytest.skip("Airflow 3.1 has deadline alerts elsewhere")
    counts = examples.counts(dag_id)
    # Two examples send the same leads, and either may be first.
    delivered = counts.get("created", 0) + counts.get("updated", 0)
    assert (counts["read"], delivered) == (DELIVERED[dag_id], DELIVERED[dag_id]), counts


def test_who_approves_is_shown_what_the_dry_run_found(examples: Examples) -> None:
    examples.counts("approve_first_send")
    shown = examples.question()
    assert shown["subject"] == "Send 4 leads to LeadSquared?"
    assert "4 rows were read. The run would be green." in shown["body"]


def test_assets_start_the_sync_and_what_follows_it(examples: Examples) -> None:
    airflow, deadline = examples.airflow, time.monotonic() + 90
    while not (runs := list(airflow.pages("dags/after_the_leads/dagRuns", "dag_runs"))):
        airflow.check()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert airflow.wait("after_the_leads", run := runs[0]["dag_run_id"], timeout=60) == "success"
    assert airflow.xcom("after_the_leads", run, "show_counts") == {"read": 2, "created": 2}


def test_openlineage_gets_the_rows_of_each_task(examples: Examples, openlineage: Path) -> None:
    examples.counts("capture_and_wait")
    found: dict[str, list[dict[str, Any]]] = {}
    deadline = time.monotonic() + 60
    while len(found) < 2:  # they are sent when the task has ended, by another process
        assert time.monotonic() < deadline, [path.name for path in openlineage.iterdir()]
        time.sleep(0.5)
        for path in openlineage.iterdir():
            with suppress(json.JSONDecodeError):  # it is being written
                event = json.loads(path.read_text())
                dag_id, _, task_id = event["job"]["name"].partition(".")
                if dag_id == "capture_and_wait" and task_id and event["eventType"] == "COMPLETE":
                    found[task_id] = event["outputs"]
    rows = {
        task_id: [
            (output["namespace"], output["name"], output["outputFacets"]["leadsquared_rows"]["read"])
            for output in outputs
        ]
        for task_id, outputs in found.items()
    }
    leads = [("leadsquared://leadsquared_default", "leads", 2)]
    assert rows == {"capture": leads, "wait": leads}


def test_no_example_is_left_out() -> None:
    elsewhere = {"asset_driven", "warehouse_to_leadsquared"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == elsewhere | DELIVERED.keys()
