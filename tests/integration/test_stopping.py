"""Every way of stopping a task ends alike: calls under way end, the ledger is written, counts are printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.exceptions import LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from tests.integration.tasks import Task, before_call, capture, error_of, leads, poke

AT_ANY_MOMENT = "stopped_at_any_moment.py"


def unkeyed(count: int) -> list[dict[str, str]]:
    """Return leads that LeadSquared cannot match to anything: none of them may be sent twice."""
    return [{"id": f"u{n}", "FirstName": f"N{n}"} for n in range(count)]


capture_unkeyed = partial(capture, require_match_key=False, concurrency=8)


def entries_of(task: Task) -> list[Entry]:
    """Return what the task's ledger holds."""
    return list(TaskStateLedger(task.store).load().entries.values())


def accepted(sandbox: Any) -> set[str]:
    """Return the RequestIds that LeadSquared has given out."""
    return {post["request_id"] for post in sandbox.posts() if post["request_id"]}


def test_an_execution_timeout_at_any_moment_leaves_every_receipt_written_and_is_airflows_own():
    """In a process of its own: the exception may come while coverage holds a lock, which would stay locked for ever."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(Path(__file__).parent / AT_ANY_MOMENT),
    ]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)  # noqa: S603 - pytest
    assert child.returncode == 0, child.stdout[-5_000:]


WAYS = [
    (signal.SIGALRM, AirflowTaskTimeout("Timeout")),
    (signal.SIGTERM, SystemExit(143)),
    (signal.SIGINT, KeyboardInterrupt()),
]


@pytest.mark.parametrize(("number", "error"), WAYS, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_what_stops_a_capture_leaves_it_itself_after_counts_and_receipts(
    sandbox, clock, task_log, stop_with, number, error
):
    sandbox.fault("slow", seconds=0.1)
    stop_with(number, 20, error)
    task = Task()
    assert error_of(lambda: capture_unkeyed(task, unkeyed(400))) is error
    assert 19 <= len(accepted(sandbox)) <= 19 + 16
    assert task.pushed["counts"] == {
        "read": 400,
        "unsent": 400 - len(accepted(sandbox)),
        "open": len(accepted(sandbox)),
    }
    assert f"Counts: read 400 = unsent {400 - len(accepted(sandbox))} + open {len(accepted(sandbox))}" in task_log()
    assert {entry.request_id for entry in entries_of(task)} - {None} == accepted(sandbox)
    sandbox.clear_faults()
    assert capture_unkeyed(task, unkeyed(400))["counts"] == {"read": 400, "open": 400}
    assert len(sandbox.posts()) == 400


@pytest.mark.parametrize(("number", "error"), WAYS, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_what_stops_a_poll_leaves_it_itself_after_counts_and_verdicts(
    sandbox, clock, task_log, stop_with, number, error
):
    receipts, task = capture(Task(), leads(100)), Task()
    clock.advance(10)
    stop_with(number, 20, error)
    assert error_of(lambda: poke(task, receipts)) is error
    decided = [entry for entry in entries_of(task) if entry.state.is_confirmed]
    assert 19 <= len(decided) <= 19 + 8
    assert f"Stopped. Counts: read 100 = open {100 - len(decided)} + created {len(decided)}" in task_log()
    assert poke(task, receipts)


def test_a_sensor_that_airflow_kills_asks_for_no_further_request(sandbox, clock, monkeypatch):
    from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

    receipts, task = capture(Task(), leads(100)), Task()
    clock.advance(10)
    sensor = LeadStatusSensor(task_id="wait", request_ids=receipts)
    before_call(monkeypatch, 20, sensor.on_kill)
    assert not sensor.poke(task.context())
    assert 19 <= len(entries_of(task)) <= 19 + 8


@pytest.fixture
def outage(sandbox, monkeypatch) -> None:
    """Let LeadSquared refuse connections, and runs that are not stopped be given up after ten seconds."""
    sandbox.fault("refuse")
    for_ten_seconds = partialmethod(LeadSquaredHook.submit_many, give_up_after=10.0)
    monkeypatch.setattr(LeadSquaredHook, "submit_many", for_ten_seconds)


def test_a_task_that_is_stopped_during_an_outage_ends_at_once(outage, clock, stop_with):
    error = AirflowTaskTimeout("Timeout")
    stop_with(signal.SIGALRM, 2, error)
    started = time.perf_counter()
    assert error_of(lambda: capture(Task(), leads(100))) is error
    assert time.perf_counter() - started < 5


def test_a_task_that_is_killed_during_an_outage_ends_at_once(outage, clock, monkeypatch):
    operator = LeadCaptureOperator(task_id="capture", leads=leads(100), row_key="id")
    before_call(monkeypatch, 2, operator.on_kill)
    started = time.perf_counter()
    with pytest.raises(LeadsUnsent, match="the task was stopped"):
        operator.execute(Task().context())
    assert time.perf_counter() - started < 5


def test_an_exception_that_comes_when_all_is_sent_still_leaves_the_receipts(sandbox, clock, stop_with):
    error = AirflowTaskTimeout("Timeout")
    stop_with(signal.SIGALRM, 5, error)
    task = Task()
    assert error_of(lambda: capture(task, leads(5), concurrency=1)) is error
    assert task.pushed["counts"] == {"read": 5, "open": 5}


def test_a_call_that_hangs_ends_in_bounded_time_after_a_stop(sandbox, clock, monkeypatch, stop_with):
    monkeypatch.setattr(
        "airflow_provider_leadsquared.tasks.submit_operator.LeadSquaredHook", partial(LeadSquaredHook, timeout=0.4)
    )
    sandbox.fault("lost_response", how="hang", skip=19)
    error = AirflowTaskTimeout("Timeout")
    stop_with(signal.SIGALRM, 20, error)
    started = time.perf_counter()
    assert error_of(lambda: capture(Task(), leads(100))) is error
    assert time.perf_counter() - started < 5
