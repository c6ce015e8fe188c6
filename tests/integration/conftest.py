"""Tasks run against a sandbox, both on one clock that the test moves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from airflow_provider_leadsquared.sandbox import Sandbox
from tests import canaries
from tests.integration.tasks import Task, VirtualTime, before_call, connect, connect_sqlite


@pytest.fixture
def sandbox(leadsquared_sandbox_factory: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Return a sandbox whose clock stands still, with Airflow's default connection to it."""
    sandbox = leadsquared_sandbox_factory(speed=0)
    connect(monkeypatch, sandbox)
    return sandbox


@pytest.fixture
def clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """Return the time that tasks and sandbox share."""
    virtual = VirtualTime(sandbox)
    monkeypatch.setattr("time.time", lambda: virtual.now)
    monkeypatch.setattr("airflow_provider_leadsquared.tasks.planning.sleep", virtual.advance)
    # A database has a clock of its own, which no test can move.
    monkeypatch.setattr("airflow_provider_leadsquared.ledgers.server_clock.database_time", lambda _: virtual.now)
    return virtual


@pytest.fixture
def ledger_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a SQLite database to which the connection ``ledger`` leads."""
    path = tmp_path / "ledger.db"
    connect_sqlite(monkeypatch, "ledger", path)
    return path


@pytest.fixture(autouse=True)
def no_task_keeps_a_key_or_an_address() -> Iterator[None]:
    """Search the task state and the XCom of every task of a test."""
    Task.all.clear()
    yield
    for task in Task.all:
        kept = f"{task.store.values} {task.instance.xcom} {task.returned}"
        assert not canaries.found_in(kept), kept


@pytest.fixture
def task_log() -> Iterator[Callable[[], str]]:
    """Return a function that returns what tasks have logged so far."""
    with structlog.testing.capture_logs() as entries:
        yield lambda: "\n".join(entry["event"] % tuple(entry.get("positional_args", ())) for entry in entries)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the hook wait in no time; returns how long it would have waited each time."""
    waits: list[float] = []
    elapsed = [0.0]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        elapsed[0] += seconds

    hook = "airflow_provider_leadsquared.hooks._many_calls"
    monkeypatch.setattr(f"{hook}.sleep", sleep)
    monkeypatch.setattr(f"{hook}.monotonic", lambda: elapsed[0])
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    return waits


@pytest.fixture
def stop_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int, BaseException], None]]:
    """Return a function that lets a signal's handler raise an error right before a call of many."""
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)}

    def arrange(number: int, call: int, error: BaseException) -> None:
        def handle(*_: object) -> None:
            raise error

        signal.signal(number, handle)
        before_call(monkeypatch, call, lambda: signal.raise_signal(number))

    yield arrange
    for number, handler in before.items():
        signal.signal(number, handler)
