"""The examples as they are written, in virtual time."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from dags_examples import capture_and_wait, deferred_wait, warehouse_to_leadsquared
from tests.integration.deferred import wait_deferred
from tests.integration.tasks import Task, connect_sqlite, wait_for


def outputs_of(example):
    """Run the capture of an example, and give its output to the sensor behind it."""
    (wait,) = example.capture.downstream_list
    output = example.capture.execute(Task().context())
    wait.request_ids = output
    return wait, output


def test_the_smallest_example_delivers_its_leads(sandbox, clock):
    wait, output = outputs_of(capture_and_wait)
    assert (wait.mode, wait.deferrable) == ("reschedule", False)
    assert wait_for(Task(), clock, output)["counts"] == {"read": 2, "created": 2}


def test_the_deferred_example_defers_and_delivers_its_leads(sandbox, clock, ledger_database):
    wait, output = outputs_of(deferred_wait)
    with pytest.raises(TaskDeferred) as deferred:
        wait.execute(Task().context())
    assert deferred.value.trigger.requests == [], "the triggerer reads them in the ledger"
    assert wait_deferred(Task(), output)["counts"] == {"read": 2, "created": 2}


def test_the_first_dry_run_logs_what_the_page_shows(sandbox, clock, task_log, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "nightly-sync.md").read_text()
    (table,) = re.findall(r'executescript\("""\n(.*?)"""\)', page, re.DOTALL)
    connect_sqlite(monkeypatch, "warehouse", tmp_path / "warehouse.db")
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        warehouse.executescript(table)
        for statement in warehouse_to_leadsquared.PRESENT_CUSTOMERS:
            warehouse.execute(statement)
    sync = warehouse_to_leadsquared.sync
    rendered = {"is_dry_run": "True", "full_refresh": "False", "replay": None, "allowed_rejects": "0.01"}
    for name, value in rendered.items():
        monkeypatch.setattr(sync, name, value)
    sync.execute(Task().context())

    shown = page.partition("**5. Dry run.**")[2].partition("```text\n")[2].partition("\n```")[0].splitlines()
    assert [line for line in shown if line not in task_log().splitlines()] == []
