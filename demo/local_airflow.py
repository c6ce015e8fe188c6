"""
A real Airflow on this machine's loopback, for demonstrations and end-to-end tests.

`LocalAirflow` runs the API server, scheduler and DAG processor that a deployment runs (nothing here defers), with the
LocalExecutor and an SQLite database, in a temporary home of its own, and talks to them over the public REST API. It can
run tasks in Celery workers instead, with a Postgres and a Redis of its own. The user's own Airflow, its home and its
environment variables play no part, and nothing is left behind: neither a process nor a file.

Run as a script, this file is the guard: the process that ends an Airflow when its owner says so or is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psutil
import requests

if TYPE_CHECKING:
    from demo.servers import Postgres, Redis

LOOPBACK = "127.0.0.1"
FINISHED = frozenset({"success", "failed"})
#: What Airflow consists of, with the words of each command.
COMPONENTS = {
    "api-server": ("api-server",),
    # Their log servers would listen on all interfaces, and have nobody to serve here.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
CELERY_WORKER = ("celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip", "--celery-hostname")
#: All workers share a machine: this module lets each tell its own name as the host name of the tasks that it runs.
WORKER_NAME = """
import os


def own():
    return os.environ["LOCAL_AIRFLOW_WORKER"]
"""
AIRFLOW_DATABASE = "airflow"
AIRFLOW = (sys.executable, "-P", "-m", "airflow")
TAIL_LINES = 30
GRACE_SECONDS = 2.0
END = "end\n"


class LocalAirflowError(RuntimeError):
    """The local Airflow, or a DAG in it, is not as it should be; the message says what and shows the log's end."""


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run, as the REST API tells it."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None
    hostname: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read one task instance of the API's answer."""
        return cls(
            task_id=data["task_id"],
            map_index=data["map_index"],
            state=data["state"],
            try_number=data["try_number"],
            start_date=_moment(data["start_date"]),
            end_date=_moment(data["end_date"]),
            hostname=data["hostname"],
        )


class LocalAirflow:
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
    :param celery_workers: run tasks in so many Celery workers, two at a time in each
    :param databases: names of databases on `postgres`, to be created empty before anything runs; DAGs find each as the
        connection of that name
    """

    home: Path
    postgres: Postgres
    redis: Redis
    _guard: subprocess.Popen[str]

    def __init__(
        self,
        dags: str | os.PathLike[str],
        *,
        dag_ids: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        start_timeout: float = 120,
        celery_workers: int = 0,
        databases: Iterable[str] = (),
    ) -> None:
        self.dags = Path(dags).resolve()
        self.dag_ids = tuple(dag_ids)
        self.start_timeout = start_timeout
        self.port = port or 0
        self.workers = tuple(f"celery-worker-{number}" for number in range(1, celery_workers + 1))
        self.databases = tuple(databases)
        if self.databases and not self.workers:
            raise ValueError("Without Celery workers there is no Postgres for databases.")
        self._extra_env = dict(env or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}
        self._complaints: set[tuple[str, str]] = set()
        self._secret = secrets.token_urlsafe(64)
        self._http = requests.Session()
        self._http.trust_env = False  # neither a proxy nor a .netrc stands between us and loopback

    @property
    def url(self) -> str:
        """The address of the web interface and the API; it needs no login."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """Start everything and wait until it can be used."""
        deadline = time.monotonic() + self.start_timeout
        self.port = _usable_port(self.port)
        self.home = Path(tempfile.gettempdir(), f"local-airflow-{secrets.token_hex(4)}").resolve()
        try:
            self.home.mkdir(mode=0o700)
            # In a session of its own, so that Ctrl-C in a terminal does not reach it.
            self._guard = subprocess.Popen(
                [sys.executable, "-P", __file__, str(self.home)],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except BaseException:  # Ctrl-C at this very moment
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        try:
            # An empty settings file keeps components from writing one each, with secrets that differ.
            (self.home / "airflow.cfg").touch()
            (self.home / "tmp").mkdir()
            if self.workers:
                self._start_servers(deadline)
            # The API server is the slowest to start and needs the database last, so the two are made at once.
            self._start("api-server")
            self._run("migration", [*AIRFLOW, "db", "migrate"], deadline)
            for name in ("scheduler", "dag-processor", *self.workers):
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
        self._http.close()
        if self._guard.returncode is not None:
            return
        self._guard.communicate(END, timeout=30)
        for process in self._processes.values():
            process.poll()  # takes note of its end
        if self._guard.returncode != 0:
            raise LocalAirflowError(f"Something of the Airflow in {self.home} could not be ended or removed.")

    def restart(self, component: str, *, family: bool = False, timeout: float = 60) -> None:
        """
        Kill a component with SIGKILL, start it anew, and wait until everything is healthy.

        :param component: `api-server`, `scheduler`, `dag-processor`, or a Celery worker such as
            `celery-worker-1`
        :param family: kill all that it has started as well, such as a scheduler's workers and their tasks; otherwise
            that lives on without it
        :raises LocalAirflowError: it did not come back in time
        """
        deadline = time.monotonic() + timeout
        process = self._processes[component]
        leader = psutil.Process(process.pid)
        process.kill()
        # Its number stays taken until it is waited for, so its session is known for sure.
        while family and (left := set(filter(_is_alive, _family([leader])))):
            for each in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            if time.monotonic() > deadline:
                raise LocalAirflowError(f"What Airflow's {component} had started could not be killed.")
            time.sleep(0.02)
        process.wait(timeout=max(deadline - time.monotonic(), 1))
        since = datetime.now(UTC)
        self._start(component)
        if component == "api-server":
            self._log_in(deadline)
            self._await_health(deadline)
        elif component in self.workers:
            self._await_worker(component, deadline)
        else:
            self._await_health(deadline, component, since)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """
        Start a run of a DAG.

        :return: the run's id
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.api("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        """Tell a run's state: `queued`, `running`, `success` or `failed`."""
        return str(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Tell the state of every task of a run, in the order in which they were created."""
        rows = self._pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        return [TaskInstance.read(row) for row in rows]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Read a value that a task has pushed; it is a `LocalAirflowError` if there is none."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path, params={"map_index": map_index, "stringify": False})["value"]

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int | None = None, map_index: int = -1
    ) -> str:
        """
        Read a task's log as text, a line for each record with everything the record holds.

        :param try_number: the latest by default
        """
        if try_number is None:
            try_number = self._task_instance(dag_id, run_id, task_id, map_index)["try_number"]
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.api("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(_log_line(record) for record in content)

    def rendered_fields(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Read a task's template fields as the web interface shows them."""
        return dict(self._task_instance(dag_id, run_id, task_id, map_index)["rendered_fields"])

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
        while missing := set(dag_ids).difference(dag["dag_id"] for dag in self._pages("dags", "dags")):
            self.check()
            names = ", ".join(sorted(missing))
            for problem in self._pages("importErrors", "import_errors"):
                complaint = (problem["filename"], problem["timestamp"])
                if complaint not in self._complaints:
                    self._complaints.add(complaint)
                    raise LocalAirflowError(
                        f"No {names} yet: {problem['filename']} does not import.\n{problem['stack_trace']}"
                    )
            if time.monotonic() > deadline:
                raise LocalAirflowError(
                    f"{self.dags} did not bring {names} within {timeout:.0f} s.\n{self._tail('dag-processor')}"
                )
            time.sleep(0.2)

    def check(self) -> None:
        """Make sure that every component is running; otherwise show the end of its log."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                raise LocalAirflowError(f"Airflow's {name} ended with exit code {code}.\n{self._tail(name)}")

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """
        Call the public REST API.

        :param path: what follows `/api/v2/`
        :param arguments: as `requests` takes them
        :return: the decoded answer
        :raises LocalAirflowError: the API says no, or does not answer
        """
        try:
            response = self._http.request(method, f"{self.url}/api/v2/{path}", timeout=30, **arguments)
        except requests.RequestException as error:
            self.check()
            raise LocalAirflowError(f"Airflow's API does not answer.\n{self._tail('api-server')}") from error
        if not response.ok:
            raise LocalAirflowError(f"{method} {path}: {response.status_code} {response.text[:2000]}")
        return response.json() if response.content else None

    def _pages(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        """Read a collection to its end."""
        seen, total = 0, 1
        while seen < total:
            page = self.api("GET", path, params={"limit": 100, "offset": seen})
            yield from page[name]
            seen, total = seen + max(len(page[name]), 1), page["total_entries"]

    def _task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> Any:
        return self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}")

    def _start_servers(self, deadline: float) -> None:
        """Bring up Postgres, with all databases, and Redis."""
        # Only here, as nobody else needs what they need.
        from demo.servers import Postgres, Redis

        (self.home / "config").mkdir()  # which Airflow imports from
        (self.home / "config" / "worker_name.py").write_text(WORKER_NAME)
        self.postgres = Postgres(self.home / "postgres", _usable_port(0))
        self.redis = Redis(self.home / "redis", _usable_port(0))
        self._spawn("redis", self.redis.command(), ending=self.redis.ending)
        self._run("postgres", self.postgres.creation(), deadline)
        self._spawn("postgres", self.postgres.command(), ending=self.postgres.ending)
        for name, is_ready in (("postgres", self.postgres.is_ready), ("redis", self.redis.is_ready)):
            self._await(name, is_ready, deadline)
        for database in (AIRFLOW_DATABASE, *self.databases):
            self.postgres.create_database(database)

    def _run(self, name: str, command: Sequence[str], deadline: float) -> None:
        """Run a command that has an end, such as that which creates the database."""
        process = self._spawn(name, command)
        try:
            code = process.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise self._too_slow(name) from None
        if code != 0:
            raise LocalAirflowError(f"Airflow's database could not be created.\n{self._tail(name)}")
        del self._processes[name]

    def _await(self, name: str, is_ready: Callable[[], bool], deadline: float) -> None:
        """Wait until a component is ready, and look after the others meanwhile."""
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise self._too_slow(name)
            time.sleep(0.1)

    def _await_worker(self, name: str, deadline: float) -> None:
        """Wait until a Celery worker says that it takes tasks, which the API does not tell."""
        said = f"celery@{name} ready".encode()
        self._await(name, lambda: said in self._log(name).read_bytes()[self._log_starts[name] :], deadline)

    def _log_in(self, deadline: float) -> None:
        """Wait until the API server answers, and get a token for it."""
        token = self._first_answer("/auth/token", deadline).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        # The API that tasks use is built at its first call, which takes seconds; better now than in a task.
        self._first_answer("/execution/health", deadline)

    def _first_answer(self, path: str, deadline: float) -> requests.Response:
        """Ask the API server until it answers, and look after the others meanwhile."""
        while True:
            self.check()
            with contextlib.suppress(requests.RequestException):
                return self._http.get(self.url + path, timeout=1)
            if time.monotonic() > deadline:
                raise self._too_slow("api-server")
            time.sleep(0.1)

    def _await_health(self, deadline: float, component: str | None = None, since: datetime | None = None) -> None:
        """
        Wait until the API calls every component healthy.

        :param component: one whose last sign of life counts only if it came after `since`
        """
        while True:
            self.check()
            health = self.api("GET", "monitor/health")
            del health["triggerer"]  # there is none
            ailing = [part.replace("_", "-") for part, condition in health.items() if condition["status"] != "healthy"]
            if component is not None and since is not None:
                part = component.replace("-", "_")
                last = _moment(health[part][f"latest_{part}_heartbeat"])
                ailing += [component] if last is None or last < since else []
            if not ailing:
                return
            if time.monotonic() > deadline:
                raise self._too_slow(ailing[0])
            time.sleep(0.1)

    def _start(self, name: str) -> None:
        """Start a component of Airflow."""
        if name in self.workers:
            host_name = {"AIRFLOW__CORE__HOSTNAME_CALLABLE": "worker_name.own", "LOCAL_AIRFLOW_WORKER": name}
            self._spawn(name, [*AIRFLOW, *CELERY_WORKER, name], env=host_name)
        else:
            self._spawn(name, [*AIRFLOW, *COMPONENTS[name]])

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        ending: signal.Signals = signal.SIGTERM,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, known to the guard with the signal that ends it."""
        with self._log(name).open("ab") as log:
            self._log_starts[name] = log.tell()
            process = subprocess.Popen(
                command,
                env=self._environment() | dict(env or {}),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        print(process.pid, int(ending), file=self._guard.stdin, flush=True)
        return process

    def _environment(self) -> dict[str, str]:
        """
        Compose the environment of all components.

        What the user's environment says to Airflow, Celery and Postgres is left out, and so are proxies: the components
        talk to each other over loopback.
        """
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "_AIRFLOW", "CELERY", "PG")) and not name.lower().endswith("_proxy")
        }
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",  # done before they start
            # New DAG files are looked for every second instead of every five minutes.
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "TMPDIR": str(self.home / "tmp"),  # tasks that are killed leave temporary files
            **(self._celery_environment() if self.workers else {}),
            **self._extra_env,
        }

    def _celery_environment(self) -> dict[str, str]:
        """Compose what the environment of all components says about Celery, Postgres and Redis."""
        connections = {f"AIRFLOW_CONN_{name.upper()}": self.postgres.url(name) for name in self.databases}
        return {
            **connections,
            "AIRFLOW__CELERY__BROKER_URL": self.redis.url(),
            "AIRFLOW__CELERY__RESULT_BACKEND": self.postgres.url(AIRFLOW_DATABASE, scheme="db+postgresql+psycopg2"),
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.url(AIRFLOW_DATABASE, scheme="postgresql+psycopg2"),
            "AIRFLOW__LOGGING__CELERY_LOGGING_LEVEL": "INFO",  # a worker's log is where it says that it is ready
        }

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _tail(self, name: str) -> str:
        """Quote the end of a component's log."""
        log = self._log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"The end of its log ({log.name}):", *lines[-TAIL_LINES:]])

    def _too_slow(self, name: str) -> LocalAirflowError:
        return LocalAirflowError(f"Airflow's {name} was not ready in time after its start.\n{self._tail(name)}")


def _usable_port(port: int) -> int:
    """Make sure that a port of loopback is free; 0 picks one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left by a server counts as free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise LocalAirflowError(
                f"Port {port} on {LOOPBACK} is taken; name another, or none to get a free one."
            ) from error
        return int(probe.getsockname()[1])


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_line(record: str | dict[str, Any]) -> str:
    """Write a log record in one line: time, level, message, and whatever else it holds."""
    if isinstance(record, str):
        return record
    rest = dict(record)
    head = [str(rest.pop(name)) for name in ("timestamp", "level", "event") if rest.get(name)]
    return " ".join([*head, json.dumps(rest, default=str)] if rest else head)


def _guard(home: Path) -> None:
    """
    Note processes read from standard input; once told to, or alone, end their families and remove the home.

    Each line has a process's number and the signal that asks it to end. Ends with exit code 1 if something is left.
    """
    endings: dict[psutil.Process, int] = {}
    for line in sys.stdin:
        if line == END:
            break
        pid, ending = map(int, line.split())
        with contextlib.suppress(psutil.NoSuchProcess):
            endings[psutil.Process(pid)] = ending
    family: set[psutil.Process] = set()
    for end in (_ask_to_end, _kill):
        family |= _family(list(endings), home)  # the second time, whatever was started in the meantime counts as well
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process, endings)
        deadline = time.monotonic() + GRACE_SECONDS
        while (family := set(filter(_is_alive, family))) and time.monotonic() < deadline:
            time.sleep(0.05)
    shutil.rmtree(home, ignore_errors=True)
    sys.exit(bool(family or home.exists()))


def _ask_to_end(process: psutil.Process, endings: Mapping[psutil.Process, int]) -> None:
    """Ask a process to end; one whose parent has a signal of its own, as Postgres has, is left to that."""
    special = {leader.pid for leader, ending in endings.items() if ending != signal.SIGTERM}
    if process.ppid() not in special:
        process.send_signal(endings.get(process, signal.SIGTERM))


def _kill(process: psutil.Process, _: Mapping[psutil.Process, int]) -> None:
    process.kill()


def _family(leaders: list[psutil.Process], home: Path | None = None) -> set[psutil.Process]:
    """
    Find all processes that these session leaders have brought about.

    A task is in a process group of its own but stays in the leader's session, also when its parent is gone; what a task
    has started in yet another session is found as a descendant. A leader whose owner died before it could name it is
    known by the folder in which it runs, the home or one in it, if that is told.
    """
    # A number that now belongs to another process is no longer ours; one that belongs to none may still name a session.
    sessions = {leader.pid for leader in leaders if leader.is_running() or not psutil.pid_exists(leader.pid)}
    family = set()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in sessions or home in (folder := Path(process.cwd()), *folder.parents):
                family |= {process, *process.children(recursive=True)}
    return family


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
