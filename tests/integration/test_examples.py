"""The examples that send a list of leads, as they are written."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from dags_examples import capture_and_wait, deferred_wait
from tests.integration.deferred import wait_deferred
from tests.integration.tasks import Task, wait_for


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
