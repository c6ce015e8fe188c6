"""Tasks as Airflow would run them, one try after another, on a clock that the test moves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.exceptions import AirflowRescheduleException

from airflow_provider_leadsquared.exceptions import TaskError
from airflow_provider_leadsquared.hooks import _transport, leadsquared
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

START = 1_800_000_000.0


class StateStore:
    """Airflow's task state store as it behaves: JSON values only, nothing shared with the caller."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.writes_before_cut_off: int | None = None
        self.writes_cut_off = 1_000_000

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        if self.writes_before_cut_off is not None:
            self.writes_before_cut_off -= 1
            if self.writes_before_cut_off < 0 and self.writes_cut_off:
                self.writes_cut_off -= 1
                raise ConnectionError("the task was cut off from Airflow")
        assert value is not None
        text = json.dumps(value, allow_nan=False)
        assert json.loads(text) == value, "only plain JSON comes back as it went in"
        self.values[key] = text


class TaskInstance:
    dag_id, run_id, task_id, map_index, try_number = "sync", "2026-01-01", "task", -1, 2

    def __init__(self) -> None:
        self.xcom: dict[str, Any] = {}
        self.first_reschedule_date = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = copy.deepcopy(value)

    def get_first_reschedule_date(self, context: Any) -> Any:
        return self.first_reschedule_date


class OutletEvents(dict[Any, Any]):
    """What Airflow hands a task for the events of its outlets."""

    def __missing__(self, asset: Any) -> Any:
        self[asset] = SimpleNamespace(extra={})
        return self[asset]


class Task:
    """One task instance: its state store outlives tries, its XCom and asset events do not."""

    all: ClassVar[list[Task]] = []

    def __init__(self, *, has_store: bool = True) -> None:
        self.store, self._has_store = StateStore(), has_store
        self.instance = TaskInstance()
        self.clears = 0
        self.returned: Any = None
        self.events = OutletEvents()
        self.all.append(self)

    def context(self) -> Any:
        """Return the context of a new try."""
        self.instance, self.events = TaskInstance(), OutletEvents()
        run = SimpleNamespace(clear_number=self.clears)
        context = {"ti": self.instance, "dag_run": run, "outlet_events": self.events}
        return context | ({"task_state_store": self.store} if self._has_store else {})

    @property
    def pushed(self) -> Any:
        return self.instance.xcom.get("return_value")


class VirtualTime:
    """The time of the test, of the tasks and of the sandbox, which may run faster."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.now = START
        self.sandbox_speed = 1.0
        self._sandbox = sandbox
        #: Called whenever somebody waits.
        self.before_advance: Callable[[], object] = lambda: None

    def advance(self, seconds: float) -> None:
        self.before_advance()
        self.now += seconds
        self._sandbox.advance(seconds * self.sandbox_speed)


def share_time(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> VirtualTime:
    """Let tasks, triggers and sandbox have one time, and nobody wait for it."""
    virtual = VirtualTime(sandbox)
    monkeypatch.setattr("time.time", lambda: virtual.now)
    monkeypatch.setattr("airflow_provider_leadsquared.tasks.planning.sleep", virtual.advance)

    async def sleep(seconds: float) -> None:
        virtual.advance(seconds)

    monkeypatch.setattr("airflow_provider_leadsquared.triggers.lead_status.sleep", sleep)
    # A database has a clock of its own, which no test can move.
    monkeypatch.setattr("airflow_provider_leadsquared.ledgers.server_clock.database_time", lambda _: virtual.now)
    return virtual


def connect(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, conn_id: str = "leadsquared_default", **changes: Any
) -> None:
    """Point a connection at the sandbox, with fields changed as wanted."""
    connection = sandbox.airflow_connection()
    connection["extra"] |= changes.pop("extra", {})
    define_connection(monkeypatch, conn_id, **connection | changes)


def define_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def connect_sqlite(monkeypatch: pytest.MonkeyPatch, conn_id: str, path: Path, **extra: Any) -> None:
    """Point a connection at a SQLite file."""
    define_connection(monkeypatch, conn_id, conn_type="sqlite", host=str(path), extra=extra)


def connect_postgres(monkeypatch: pytest.MonkeyPatch, conn_id: str, address: str, **changes: Any) -> None:
    """Point a connection at a Postgres that listens on a socket, with fields changed as wanted."""
    host = parse_qs(urlsplit(address).query)["host"][0]
    fields = {"conn_type": "postgres", "host": host, "login": "postgres", "schema": "postgres"}
    define_connection(monkeypatch, conn_id, **fields | changes)


def before_call(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Do something right before the given call of many, counted from 1; the call is then made."""
    send, calls = _transport.send_async, 0

    async def counting(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return await send(*args, **options)

    monkeypatch.setattr(leadsquared, "send_async", counting)


def error_of(act: Callable[[], object]) -> BaseException | None:
    """Return what is raised, whatever it is."""
    try:
        act()
    except BaseException as error:
        return error
    return None


def facts_of(error: TaskError) -> dict[str, Any]:
    """Return what a task's error holds besides its message."""
    return {"counts": error.counts, "reasons": error.reasons, "examples": error.examples}


def leads(count: int, **attributes: Any) -> list[dict[str, Any]]:
    """Return leads that the sandbox accepts, with an id of the owner's."""
    return [
        {"id": f"k{n}", "EmailAddress": f"lead{n}@example.org", "mx_City": "Pune", **attributes} for n in range(count)
    ]


def capture(task: Task, rows: Any, **arguments: Any) -> dict[str, Any]:
    """Run a capture task once and return its output."""
    operator = LeadCaptureOperator(task_id="capture", leads=rows, **{"row_key": "id", **arguments})
    output: dict[str, Any] = operator.execute(task.context())
    task.returned = output
    return output


def poke(task: Task, request_ids: Any, **arguments: Any) -> bool:
    """Run one poke of a sensor, in a process of its own as it were; returns whether the sensor is done."""
    return bool(LeadStatusSensor(task_id="wait", request_ids=request_ids, **arguments).poke(task.context()))


def wait_for(task: Task, clock: VirtualTime, request_ids: Any, **arguments: Any) -> dict[str, Any]:
    """Run a sensor through all its reschedules, a new process for each, and return its output."""
    while True:
        sensor = LeadStatusSensor(task_id="wait", request_ids=request_ids, **arguments)
        try:
            output: dict[str, Any] = sensor.execute(task.context())
        except AirflowRescheduleException:
            clock.advance(sensor.poke_interval)
        else:
            task.returned = output
            return output
