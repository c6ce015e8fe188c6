"""A deferred sensor's trigger: it runs in triggerers that may be killed, paused and given up, and fires once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger
from tests.simulation.loop import VirtualLoop
from tests.simulation.timeline import Worker

if TYPE_CHECKING:
    from tests.simulation.tries import TaskInstance

#: Seconds after which another triggerer takes over the triggers of one that is not heard of.
TAKEN_OVER = 60.0


class Triggering:
    """
    One deferral of a task, until its trigger has fired or its time is over.

    :param instance: The task instance; it is resumed once.
    :param deferral: What the task raised.
    """

    def __init__(self, instance: TaskInstance, deferral: Any) -> None:
        self._instance, self._timeline = instance, instance.simulation.timeline
        # Airflow keeps both in its database.
        self._arguments = json.dumps(deferral.trigger.serialize()[1])
        self._is_over = False
        self._worker: Worker | None = None
        self._timeline.at(self._timeline.now + deferral.timeout.total_seconds(), self._time_out)
        self._begin()

    def _begin(self) -> None:
        if self._is_over:
            return
        instance = self._instance
        instance.triggers += 1
        worker = instance.simulation.worker(instance.run, "trigger", instance.part, instance.triggers)
        self._worker = worker
        worker.give_up = lambda: self._take_over(worker)
        worker.on_death.append(lambda: self._timeline.at(self._timeline.now + TAKEN_OVER, worker.give_up))
        worker.start(lambda: self._run(worker))

    def _run(self, worker: Worker) -> None:
        worker.sleep(worker.rng.random() * 2)
        trigger = LeadStatusTrigger(**json.loads(self._arguments))

        async def first_event() -> Any:
            return (await anext(trigger.run())).payload

        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self._timeline)) as runner:
            payload = json.dumps(runner.run(first_event()))
        worker.ended_at = self._timeline.now
        self._timeline.at(self._timeline.now, lambda: self._fire(worker, payload))

    def _take_over(self, worker: Worker) -> None:
        if worker is self._worker and worker.ended_at is None and not self._is_over:
            self._instance.simulation.tell(f"{worker.name} is given up")
            worker.is_given_up = True
            self._begin()

    def _fire(self, worker: Worker, payload: str) -> None:
        instance = self._instance
        instance.simulation.tell(f"{worker.name} fires {payload[:100]}")
        if not self._is_over:
            self._is_over = True
            instance.resume(json.loads(payload), worker.seen)

    def _time_out(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._instance.simulation.tell(f"{self._instance.run}.{self._instance.task} waited for its trigger in vain")
            self._instance.fail_deferred()
