from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_airflow import LocalAirflow, LocalAirflowError, TaskInstance
from tests.support.processes import MARK, left_running

PROJECT = Path(__file__).parents[2]

GREEN_AND_RED = """
from airflow.sdk import dag, task

@dag(schedule=None)
def green():
    @task
    def count(dag_run):
        print("counting", dag_run.conf)
        return [dag_run.conf["n"], 2]

    @task
    def total(leads):
        return sum(leads)

    total(count())

@dag(schedule=None)
def red():
    @task
    def stumble():
        raise ValueError("over a stone")

    stumble()

green()
red()
"""

LONG = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

@dag(schedule=None)
def long():
    BashOperator(task_id="sleep", bash_command="exec sleep 600")

long()
"""

OWNER = """
import signal, sys
from local_airflow import LocalAirflow

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with it ignored
with LocalAirflow(sys.argv[1], dag_ids=["long"], celery_workers=int(sys.argv[2])) as airflow:
    airflow.wait("long", airflow.trigger("long"), 300)
"""


def eventually(look: Callable[[], Any], timeout: float) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)
    return found


def command_line(process: psutil.Process) -> list[str]:
    """The words of a process's command, none if it has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def shared_memory_of(processes: list[psutil.Process]) -> list[str]:
    """What these have left of System V shared memory, which only its maker or a restart of the machine removes."""
    listing = Path("/proc/sysvipc/shm")
    head, *segments = [line.split() for line in listing.read_text().splitlines()] if listing.exists() else [[]]
    pids = {str(process.pid) for process in processes}
    return [str(segment) for segment in segments if dict(zip(head, segment, strict=True))["cpid"] in pids]


@pytest.fixture(scope="module")
def airflow(local_airflow: LocalAirflow) -> LocalAirflow:
    (local_airflow.dags / "green and red.py").write_text(GREEN_AND_RED)
    local_airflow.wait_for_dags("green", "red")
    return local_airflow


def test_a_run_is_told_from_trigger_to_end(airflow: LocalAirflow) -> None:
    seen: list[list[TaskInstance]] = []
    run_id = airflow.trigger("green", conf={"n": 40}, run_id="first")

    assert run_id == "first"
    assert airflow.wait("green", run_id, timeout=60, on_tick=seen.append) == "success"
    assert airflow.dag_run_state("green", run_id) == "success"
    tasks = {task.task_id: task for task in airflow.task_instances("green", run_id)}
    assert {name: (task.state, task.try_number) for name, task in tasks.items()} == {
        "count": ("success", 1),
        "total": ("success", 1),
    }
    moments = [tasks["count"].start_date, tasks["count"].end_date, tasks["total"].start_date]
    known = [moment for moment in moments if moment is not None]
    assert len(known) == 3
    assert known == sorted(known)
    assert seen[-1] == list(tasks.values())
    assert airflow.xcom("green", run_id, "count") == [40, 2]
    assert airflow.xcom("green", run_id, "total") == 42
    assert "counting {'n': 40}" in airflow.task_log("green", run_id, "count")
    assert airflow.rendered_fields("green", run_id, "total")["op_args"] == [[40, 2]]


def test_a_failed_run_is_told_with_its_log(airflow: LocalAirflow) -> None:
    run_id = airflow.trigger("red")

    assert airflow.wait("red", run_id, timeout=60) == "failed"
    assert "over a stone" in airflow.task_log("red", run_id, "stumble")
    with pytest.raises(LocalAirflowError, match="404"):
        airflow.xcom("red", run_id, "stumble")


def test_waiting_has_an_end(airflow: LocalAirflow) -> None:
    run_id = airflow.trigger("red")

    with pytest.raises(TimeoutError, match="of red is still"):
        airflow.wait("red", run_id, timeout=0)
    with pytest.raises(LocalAirflowError, match="did not bring nowhere within 0 s"):
        airflow.wait_for_dags("nowhere", timeout=0)


def test_a_broken_dag_is_shown(airflow: LocalAirflow) -> None:
    broken = airflow.dags / "broken.py"
    broken.write_text("from airflow.sdk import dag\n\nimport no_such_module\n")

    with pytest.raises(LocalAirflowError, match=r"(?s)broken\.py does not import.*No module named 'no_such_module'"):
        airflow.wait_for_dags("broken")
    broken.unlink()


def test_nothing_listens_beyond_loopback(airflow: LocalAirflow) -> None:
    listening = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess):  # a task hides from all but root
            listening += [each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", airflow.port)]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            pytest.raises(LocalAirflowError, match=f"Port {port} on 127.0.0.1 is taken"),
            LocalAirflow(tmp_path, port=port),
        ):
            pass


def test_a_dying_component_is_shown_and_the_rest_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    nonsense = {"AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor", MARK: str(tmp_path)}

    with pytest.raises(LocalAirflowError, match=r"(?s)scheduler ended with exit code 1.*NoSuchExecutor"):
        LocalAirflow(tmp_path, env=nonsense).__enter__()
    assert left_running(str(tmp_path)) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("workers", "sent", "moment"),
    [
        pytest.param(0, signal.SIGINT, "sleep", id="Ctrl-C while a task runs"),
        pytest.param(2, signal.SIGKILL, "postgres/data", id="killed while Postgres starts"),
    ],
)
def test_nothing_outlives_the_owner_or_touches_the_user(
    tmp_path: Path, workers: int, sent: signal.Signals, moment: str
) -> None:
    folders = {name: tmp_path / f"the {name}" for name in ("dags", "home", "airflow home", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    (folders["dags"] / "long.py").write_text(LONG)
    user = {
        "AIRFLOW_HOME": str(folders["airflow home"]),
        "AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor",
        "CELERY_BROKER_URL": "redis://127.0.0.1:9",
        "HOME": str(folders["home"]),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "PGSSLMODE": "verify-full",
        "TMPDIR": str(folders["temporary"]),
    }
    owner = subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", OWNER, str(folders["dags"]), str(workers)],
        cwd=PROJECT,
        env=os.environ | user,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def family() -> list[psutil.Process]:
        assert owner.poll() is None, "the owner has ended too early"
        processes = psutil.Process(owner.pid).children(recursive=True)
        words = [word for process in processes for word in command_line(process)]
        return processes if any(word.endswith(moment) for word in words) else []

    try:
        processes = eventually(family, timeout=120)
    finally:
        os.killpg(owner.pid, sent)
        owner.wait(timeout=30)

    def gone() -> bool:
        return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)

    eventually(gone, timeout=30)
    assert not list(folders["temporary"].iterdir())
    assert not list(folders["home"].iterdir())
    assert not list(folders["airflow home"].iterdir())
    assert not shared_memory_of(processes)
