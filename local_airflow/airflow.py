"""
A real Airflow on this machine's loopback, for demonstrations and end-to-end tests.

`LocalAirflow` runs the API server, scheduler and DAG processor that a deployment runs, with the LocalExecutor and an
SQLite database, in a temporary home of its own, and talks to them over the public REST API. It can run a triggerer as
well, and tasks in Celery workers instead, with a Postgres and a Redis of its own. The user's own Airflow, its home and
its environment variables play no part, and nothing is left behind: neither a process nor a file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from local_airflow import environment
from local_airflow.environment import AIRFLOW, AIRFLOW_DATABASE, CELERY_WORKER, COMPONENTS
from local_airflow.errors import LocalAirflowError
from local_airflow.loopback import usable_port
from local_airflow.processes import Processes
from local_airflow.rest import RestClient, TaskInstance, moment
from local_airflow.servers import Postgres, Redis

FINISHED = frozenset({"success", "failed"})


class LocalAirflow(RestClient):
    """
    An Airflow that lives as long as a `with` block.

    Entering returns once the API server, scheduler and DAG processor are healthy and the awaited DAGs can
    be triggered. If that does not come about, everything is ended again and `LocalAirflowError` says why. Leaving ends
    every process, running tasks included, and removes the home. So does the death of the owning process, however it
    comes.

    `home` is the temporary `AIRFLOW_HOME`: the database, task logs under `logs/`, and each component's own log.

    With Celery workers, `postgres` is the server of Airflow's database, for databases of one's own too. The workers are
    called `celery-worker-1` and so on: as components, and as the host names of the tasks that they run.

    :param dags: folder of DAG files; new files in it are found within seconds
    :param dag_ids: DAGs to wait for
    :param env: environment of all components, such as `AIRFLOW_CONN_…`; overrides what is set here
    :param port: port of the API server; any free one by default
    :param start_timeout: seconds until a start counts as failed
    :param has_triggerer: run a triggerer, for tasks that defer
    :param celery_workers: run tasks in so many Celery workers, two at a time in each
    :param databases: names of databases on `postgres`, to be created empty before anything runs; DAGs find each as the
        connection of that name
    """

    home: Path
    postgres: Postgres
    redis: Redis
    _processes: Processes

    def __init__(
        self,
        dags: str | os.PathLike[str],
        *,
        dag_ids: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        start_timeout: float = 120,
        has_triggerer: bool = False,
        celery_workers: int = 0,
        databases: Iterable[str] = (),
    ) -> None:
        super().__init__(port or 0)
        self.dags = Path(dags).resolve()
        self.dag_ids = tuple(dag_ids)
        self.start_timeout = start_timeout
        self.workers = tuple(f"celery-worker-{number}" for number in range(1, celery_workers + 1))
        self.databases = tuple(databases)
        self.has_triggerer = has_triggerer
        if self.databases and not self.workers:
            raise ValueError("Without Celery workers there is no Postgres for databases.")
        self._extra_env = dict(env or {})
        self._complaints: set[tuple[str, str]] = set()
        self._secret = secrets.token_urlsafe(64)

    def __enter__(self) -> Self:
        """Start everything and wait until it can be used."""
        deadline = time.monotonic() + self.start_timeout
        self.port = usable_port(self.port)
        self.home = Path(tempfile.gettempdir(), f"local-airflow-{secrets.token_hex(4)}").resolve()
        self._processes = Processes(self.home)
        try:
            # An empty settings file keeps components from writing one each, with secrets that differ.
            (self.home / "airflow.cfg").touch()
            (self.home / "tmp").mkdir()
            if self.workers:
                self._start_servers(deadline)
            # The API server is the slowest to start and needs the database last, so the two are made at once.
            self._start("api-server")
            self._processes.run("migration", [*AIRFLOW, "db", "migrate"], self._environment(), deadline)
            triggerer = ("triggerer",) if self.has_triggerer else ()
            for name in ("scheduler", "dag-processor", *triggerer, *self.workers):
                self._start(name)
            self._log_in(deadline)
            self._await_health(deadline)
            for name in self.workers:
                self._await_worker(name, deadline)
            self.wait_for_dags(*self.dag_ids, timeout=deadline - time.monotonic())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything, whatever happened inside."""
        self.stop()

    def stop(self) -> None:
        """
        End every process and remove the home.

        Processes are asked to end, and killed if they have not after two seconds. A second call does nothing.

        :raises LocalAirflowError: something is left
        """
        self.close()
        self._processes.stop()

    def restart(self, component: str, *, family: bool = False, timeout: float = 60) -> None:
        """
        Kill a component with SIGKILL, start it anew, and wait until everything is healthy.

        :param component: `api-server`, `scheduler`, `dag-processor`, `triggerer`, or a Celery worker such as
            `celery-worker-1`
        :param family: kill all that it has started as well, such as a scheduler's workers and their tasks; otherwise
            that lives on without it
        :raises LocalAirflowError: it did not come back in time
        """
        deadline = time.monotonic() + timeout
        self._processes.kill(component, family=family, deadline=deadline)
        since = datetime.now(UTC)
        self._start(component)
        if component == "api-server":
            self._log_in(deadline)
            self._await_health(deadline)
        elif component in self.workers:
            self._await_worker(component, deadline)
        else:
            self._await_health(deadline, component, since)

    def wait(
        self,
        dag_id: str,
        run_id: str,
        timeout: float,
        on_tick: Callable[[list[TaskInstance]], None] | None = None,
        *,
        interval: float = 0.5,
    ) -> str:
        """
        Wait until a run has ended.

        :param on_tick: called at every look, and once more at the end, with the run's task instances
        :param interval: seconds between two looks
        :return: `success` or `failed`
        :raises TimeoutError: the run is still going; the message tells the state of its tasks
        :raises LocalAirflowError: a component of Airflow has died
        """
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            state = self.dag_run_state(dag_id, run_id)
            if on_tick is not None:
                on_tick(self.task_instances(dag_id, run_id))
            if state in FINISHED:
                return state
            if time.monotonic() > deadline:
                tasks = ", ".join(f"{task.task_id} {task.state}" for task in self.task_instances(dag_id, run_id))
                raise TimeoutError(f"Run {run_id} of {dag_id} is still {state} after {timeout:g} s: {tasks}.")
            time.sleep(interval)

    def wait_for_dags(self, *dag_ids: str, timeout: float = 30) -> None:
        """
        Wait until these DAGs have been parsed and can be triggered.

        :raises LocalAirflowError: a file of the DAG folder turned out not to import (the message holds its traceback;
            each such finding is raised once), or the DAGs did not appear in time
        """
        deadline = time.monotonic() + timeout
        while missing := set(dag_ids).difference(dag["dag_id"] for dag in self.pages("dags", "dags")):
            self.check()
            names = ", ".join(sorted(missing))
            for problem in self.pages("importErrors", "import_errors"):
                complaint = (problem["filename"], problem["timestamp"])
                if complaint not in self._complaints:
                    self._complaints.add(complaint)
                    raise LocalAirflowError(
                        f"No {names} yet: {problem['filename']} does not import.\n{problem['stack_trace']}"
                    )
            if time.monotonic() > deadline:
                tail = self._processes.tail("dag-processor")
                raise LocalAirflowError(f"{self.dags} did not bring {names} within {timeout:.0f} s.\n{tail}")
            time.sleep(0.2)

    def check(self) -> None:
        """Make sure that every component is running; otherwise show the end of its log."""
        self._processes.check()

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """
        Call the public REST API.

        :param path: what follows `/api/v2/`
        :param arguments: as `requests` takes them
        :return: the decoded answer
        :raises LocalAirflowError: the API says no, or does not answer
        """
        try:
            return super().api(method, path, **arguments)
        except requests.RequestException as error:
            self.check()
            tail = self._processes.tail("api-server")
            raise LocalAirflowError(f"Airflow's API does not answer.\n{tail}") from error

    def _start_servers(self, deadline: float) -> None:
        """Bring up Postgres, with all databases, and Redis."""
        (self.home / "config").mkdir()  # which Airflow imports from
        (self.home / "config" / "worker_name.py").write_text(environment.WORKER_NAME)
        self.postgres = Postgres(self.home / "postgres", usable_port(0))
        self.redis = Redis(self.home / "redis", usable_port(0))
        start, env = self._processes.start, self._environment()
        start("redis", self.redis.command(), env, ending=self.redis.ending)
        self._processes.run("postgres", self.postgres.creation(), env, deadline, ending=self.postgres.creation_ending)
        start("postgres", self.postgres.command(), env, ending=self.postgres.ending)
        self._processes.wait_until("postgres", self.postgres.is_ready, deadline)
        self._processes.wait_until("redis", self.redis.is_ready, deadline)
        for database in (AIRFLOW_DATABASE, *self.databases):
            self.postgres.create_database(database)

    def _start(self, name: str) -> None:
        """Start a component of Airflow."""
        if name in self.workers:
            host_name = {"AIRFLOW__CORE__HOSTNAME_CALLABLE": "worker_name.own", "LOCAL_AIRFLOW_WORKER": name}
            self._processes.start(name, [*AIRFLOW, *CELERY_WORKER, name], self._environment() | host_name)
        else:
            self._processes.start(name, [*AIRFLOW, *COMPONENTS[name]], self._environment())

    def _environment(self) -> dict[str, str]:
        """Return the environment of all components."""
        return {
            **environment.inherited(),
            **environment.for_airflow(self.home, self.dags, self.url, self.port, self._secret),
            **(environment.for_celery(self.postgres, self.redis, self.databases) if self.workers else {}),
            **self._extra_env,
        }

    def _await_worker(self, name: str, deadline: float) -> None:
        """Wait until a Celery worker says that it takes tasks, which the API does not tell."""
        said = f"celery@{name} ready"
        self._processes.wait_until(name, lambda: self._processes.has_logged(name, said), deadline)

    def _log_in(self, deadline: float) -> None:
        """Wait until the API server answers, and get a token for it."""
        token = self._first_answer("/auth/token", deadline).json()["access_token"]
        self.authorize(token)
        # The API that tasks use is built at its first call, which takes seconds; better now than in a task.
        self._first_answer("/execution/health", deadline)

    def _first_answer(self, path: str, deadline: float) -> requests.Response:
        """Ask the API server until it answers well, and look after the others meanwhile."""
        while True:
            self.check()
            with contextlib.suppress(requests.RequestException):
                answer = self.get(path)
                if answer.ok:  # while it starts, it may fail
                    return answer
            if time.monotonic() > deadline:
                raise self._processes.too_slow("api-server")
            time.sleep(0.1)

    def _await_health(self, deadline: float, component: str | None = None, since: datetime | None = None) -> None:
        """
        Wait until the API calls every component healthy.

        :param component: one whose last sign of life counts only if it came after `since`
        """
        while True:
            self.check()
            health = self.api("GET", "monitor/health")
            if not self.has_triggerer:
                del health["triggerer"]
            ailing = [part.replace("_", "-") for part, condition in health.items() if condition["status"] != "healthy"]
            if component is not None and since is not None:
                part = component.replace("-", "_")
                last = moment(health[part][f"latest_{part}_heartbeat"])
                ailing += [component] if last is None or last < since else []
            if not ailing:
                return
            if time.monotonic() > deadline:
                raise self._processes.too_slow(ailing[0])
            time.sleep(0.1)
