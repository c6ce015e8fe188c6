"""A deferred sensor as Airflow runs it: the task, its trigger from its stored arguments, the task again."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import TriggerEvent

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger
from tests import canaries
from tests.integration.tasks import Task, VirtualTime, wait_for


def as_stored(value: Any) -> Any:
    """Return a value as it comes back from Airflow's database; neither key nor address may get there."""
    text = json.dumps(value, allow_nan=False)
    assert not canaries.found_in(text), text
    assert json.loads(text) == value, "only plain JSON comes back as it went in"
    return json.loads(text)


async def _first_event(trigger: LeadStatusTrigger) -> TriggerEvent:
    events = trigger.run()
    try:
        return await anext(events)
    finally:
        await events.aclose()


class DeferredWait:
    """
    The task instance of a deferred sensor, through all its starts.

    :param task: Its state store.
    :param arguments: Arguments of the sensor.
    """

    def __init__(self, task: Task, request_ids: Any, **arguments: Any) -> None:
        self._task = task
        self._sensor = {"task_id": "wait", "deferrable": True, "request_ids": request_ids, **arguments}
        #: How often a worker was started.
        self.starts = 0
        #: What Airflow has stored of each deferral.
        self.triggers: list[dict[str, Any]] = []
        self.events: list[Any] = []
        self.deferred: TaskDeferred | None = None

    def start(self) -> Any:
        """Start the task; returns its output, None if it has deferred."""
        return self._run(lambda sensor, context: sensor.execute(context))

    def resume(self, event: Any) -> Any:
        """Start the task with an event of its trigger; returns its output, None if it has deferred again."""
        return self._run(lambda sensor, context: getattr(sensor, self.method)(context, event=event))

    @property
    def method(self) -> str:
        assert self.deferred is not None
        return self.deferred.method_name

    @property
    def trigger(self) -> LeadStatusTrigger:
        """A new trigger from the arguments of the last deferral."""
        return LeadStatusTrigger(**self.triggers[-1])

    def fire(self, trigger: LeadStatusTrigger | None = None) -> Any:
        """Run a trigger to its event, and return that as it is stored."""
        event = as_stored(asyncio.run(_first_event(trigger or self.trigger)).payload)
        self.events.append(event)
        return event

    def run(self) -> Any:
        """Run task and triggers to the end; returns the output."""
        output = self.start()
        while output is None:
            output = self.resume(self.fire())
        self._task.returned = output
        return output

    def _run(self, act: Any) -> Any:
        self.starts += 1
        try:
            return act(LeadStatusSensor(**self._sensor), self._task.context())
        except TaskDeferred as deferred:
            self.deferred = deferred
            path, arguments = deferred.trigger.serialize()
            assert path == f"{LeadStatusTrigger.__module__}.{LeadStatusTrigger.__name__}"
            self.triggers.append(as_stored(arguments))
            return None


def wait_deferred(task: Task, request_ids: Any, **arguments: Any) -> dict[str, Any]:
    """Run a deferred sensor to its end, and return its output."""
    output: dict[str, Any] = DeferredWait(task, request_ids, **arguments).run()
    return output


def wait_in(mode: str, task: Task, clock: VirtualTime, request_ids: Any, **arguments: Any) -> None:
    """Run a sensor to its end in one of the modes."""
    if mode == "deferred":
        wait_deferred(task, request_ids, **arguments)
    elif mode == "reschedule":
        wait_for(task, clock, request_ids, **arguments)
    else:
        LeadStatusSensor(task_id="wait", request_ids=request_ids, mode="poke", **arguments).execute(task.context())


#: What differs between two sandboxes, and between two ways of polling.
NOT_COMPARED = {
    "scope",
    "entry_id",
    "sync_id",
    "request_id",
    "lead_id",
    "settled_at",
    "asked_at",
    "attempted_by",
    "written_at",
}


def rows_of(path: Path) -> tuple[list[dict[str, Any]], list[tuple[bool, bool]]]:
    """Return the rows of a ledger without what no two runs have in common; of these whether they are set."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM leadsquared_ledger ORDER BY task_id, row_no").fetchall()
    compared = [{name: row[name] for name in row.keys() if name not in NOT_COMPARED} for row in rows]  # noqa: SIM118 - a row of sqlite3 gives its values, not its names
    return compared, [(row["lead_id"] is None, row["settled_at"] is None) for row in rows]
