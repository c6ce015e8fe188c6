"""Both tasks under a real scheduler: looks on time, no look too many, nothing personal kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.links.documentation import page_of_error
from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow
from local_airflow.rest import TaskInstance

SPEED = 20
SIDE_BY_SIDE = 10

DAGS = f"""
from airflow.sdk import DAG
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor


def pair(name):
    capture = LeadCaptureOperator(
        task_id=f"capture_{{name}}", leads=[{{"id": name, "EmailAddress": f"{{name}}@example.org"}}], row_key="id"
    )
    LeadStatusSensor(task_id=f"wait_{{name}}", request_ids=capture.output)


with DAG("alone", schedule=None):
    pair("alone")

with DAG("side_by_side", schedule=None, max_active_tasks=32):
    for number in range({SIDE_BY_SIDE}):
        pair(f"n{{number}}")

with DAG("mixed", schedule=None):
    mixed = LeadCaptureOperator(
        task_id="capture",
        leads=[
            {{"id": 1, "EmailAddress": "private@example.org", "Phone": "+91-9000000001"}},
            {{"id": 2, "EmailAddress": "other@example.org", "Phone": "+91-9000000001", "SearchBy": "EmailAddress"}},
            {{"id": 3, "EmailAddress": "unknown@example.org", "mx_Nope": "x"}},
            {{"id": 4, "mx_City": "Pune"}},
        ],
        row_key="id",
    )
    LeadStatusSensor(task_id="wait", request_ids=mixed.output)

with DAG("deferred", schedule=None):
    deferred = LeadCaptureOperator(
        task_id="capture",
        leads=[{{"id": n, "EmailAddress": f"deferred{{n}}@example.org"}} for n in range(2)],
        row_key="id",
        ledger_conn_id="ledger",
    )
    LeadStatusSensor(task_id="wait", request_ids=deferred.output, deferrable=True)
"""
#: That a triggerer is gone is noticed in seconds instead of half a minute.
TRIGGERER = {"AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5", "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=SPEED) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "pairs.py").write_text(DAGS)
    ledger = {"conn_type": "sqlite", "host": str(tmp_path_factory.mktemp("ledger") / "ledger.db")}
    connections = {
        "AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(sandbox.airflow_connection()),
        "AIRFLOW_CONN_LEDGER": json.dumps(ledger),
    }
    dag_ids = ["alone", "side_by_side", "mixed", "deferred"]
    with LocalAirflow(dags, dag_ids=dag_ids, env=connections | TRIGGERER, has_triggerer=True) as airflow:
        yield airflow


def test_looks_come_within_three_seconds_of_the_plan_and_no_more_often(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    sandbox.fault("system_errors", count=3, attribute="EmailAddress", value="alone@example.org")
    run = airflow.trigger("alone")
    assert airflow.wait("alone", run, timeout=150) == "success", airflow.task_log("alone", run, "wait_alone")
    receipt = airflow.xcom("alone", run, "capture_alone")["receipts"][0]
    request_id, accepted = receipt["request_id"], datetime.fromisoformat(receipt["accepted_at"]).timestamp()
    looks = [look["at_real"] for look in sandbox.polls() if look["request_id"] == request_id]
    assert len(looks) >= 3
    for look, following in zip(looks, looks[1:], strict=False):
        request = OpenRequest(accepted, asked_at=look)
        plan = PollPlan({request_id: request}, ladder=RetryLadder().faster(SPEED), speed=SPEED, learnt=Learnt(look))
        assert -0.5 <= following - plan.next_poll(look) <= 3.0


def test_ten_sensors_side_by_side_all_end_green(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    for number in range(SIDE_BY_SIDE):
        sandbox.fault("system_errors", count=3, attribute="EmailAddress", value=f"n{number}@example.org")
    run = airflow.trigger("side_by_side")
    state = airflow.wait("side_by_side", run, timeout=240)
    states = {task.task_id: task.state for task in airflow.task_instances("side_by_side", run)}
    assert state == "success", states


def test_a_deferred_sensor_outlives_the_kill_of_its_triggerer(airflow: LocalAirflow, sandbox: Sandbox) -> None:
    sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="deferred0@example.org")
    run = airflow.trigger("deferred")
    killed: list[list[str]] = []

    def kill_once(tasks: list[TaskInstance]) -> None:
        if killed or {task.task_id: task.state for task in tasks}.get("wait") != "deferred":
            return
        receipts = airflow.xcom("deferred", run, "capture")["receipts"]
        if {receipt["request_id"] for receipt in receipts} <= {poll["request_id"] for poll in sandbox.polls()}:
            killed.append(_shown(airflow.home, [*_keys(sandbox), "deferred0@", "deferred1@"]))
            airflow.restart("triggerer", family=True)

    state = airflow.wait("deferred", run, timeout=150, on_tick=kill_once)
    assert state == "success", airflow.task_log("deferred", run, "wait")
    assert killed == [[]], "nothing that Airflow kept of the deferred task holds a key or a lead"
    assert airflow.xcom("deferred", run, "wait")["counts"] == {"read": 2, "created": 2}
    assert {task.try_number for task in airflow.task_instances("deferred", run)} == {1}


@pytest.fixture(scope="module")
def mixed_run(airflow: LocalAirflow, sandbox: Sandbox) -> str:
    # In the CRM before, for nobody knows which of two requests LeadSquared works off first.
    keys = {"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key}
    known = {"EmailAddress": "private@example.org", "Phone": "+91-9000000001"}
    pairs = [{"Attribute": name, "Value": value} for name, value in known.items()]
    url = f"{sandbox.url}/v2/LeadManagement.svc/Lead.Capture?{urlencode(keys)}"
    # Not with requests, which would log the keys.
    with urlopen(Request(url, json.dumps(pairs).encode(), {"Content-Type": "application/json"}), timeout=10):  # noqa: S310 - the sandbox's own address
        pass
    run = airflow.trigger("mixed")
    airflow.wait("mixed", run, timeout=120)
    return run


def test_a_capture_that_set_rows_aside_is_red_and_its_sensor_settles_the_rest(
    airflow: LocalAirflow, mixed_run: str
) -> None:
    states = {task.task_id: task.state for task in airflow.task_instances("mixed", mixed_run)}
    assert states == {"capture": "failed", "wait": "failed"}
    assert airflow.xcom("mixed", mixed_run, "capture")["counts"] == {"read": 4, "invalid": 1, "open": 3}
    assert airflow.xcom("mixed", mixed_run, "wait")["counts"] == {"read": 3, "updated": 1, "rejected": 2}


def test_rejects_are_not_retried(airflow: LocalAirflow, mixed_run: str) -> None:
    assert {task.try_number for task in airflow.task_instances("mixed", mixed_run)} == {1}


def test_leads_are_shown_as_a_number(airflow: LocalAirflow, mixed_run: str) -> None:
    assert airflow.rendered_fields("mixed", mixed_run, "capture")["leads"] == "4 leads"


def test_a_red_task_links_to_a_lead_and_to_what_its_error_means(
    airflow: LocalAirflow, sandbox: Sandbox, mixed_run: str
) -> None:
    shown = airflow.api("GET", f"dags/mixed/dagRuns/{quote(mixed_run)}/taskInstances/wait/links")["extra_links"]
    (known,) = [lead["id"] for lead in sandbox.leads() if lead["values"].get("EmailAddress") == "private@example.org"]
    assert shown == {
        "About this error": page_of_error("LeadsNotDelivered") or None,
        "Lead in LeadSquared": f"{sandbox.url}/LeadManagement/LeadDetails?LeadID={known}",
        # Its ledger is Airflow's task state store, which the page cannot show: the task's own results have each row.
        "Deliveries": f"{airflow.url}/dags/mixed/runs/{quote(mixed_run)}/tasks/wait/xcom",
    }


def test_nothing_that_airflow_keeps_holds_a_key_or_a_lead(
    airflow: LocalAirflow, sandbox: Sandbox, mixed_run: str
) -> None:
    personal = ["private@example.org", "other@example.org", "9000000001", "unknown@example.org"]
    assert _shown(airflow.home, _keys(sandbox) + personal) == []


def _keys(sandbox: Sandbox) -> list[str]:
    return [sandbox.access_key, sandbox.access_key.replace("$", "%24"), sandbox.secret_key, sandbox.api_key]


def _shown(home: Path, words: list[str]) -> list[str]:
    """Return which of the words Airflow keeps, and where."""
    return [f"{place}: {word}" for place, text in _everything_kept(home) for word in words if word in text]


def _everything_kept(home: Path) -> Iterator[tuple[str, str]]:
    """Yield all text in Airflow's database, the DAG files' own source aside, and in its files."""
    for path in home.rglob("*"):
        if path.is_file() and ".db" not in path.name:
            yield path.name, path.read_text(errors="replace")
    with sqlite3.connect(f"file:{next(home.rglob('*.db'))}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table != "dag_code":
                yield table, repr(database.execute(f'SELECT * FROM "{table}"').fetchall())
