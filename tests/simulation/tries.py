"""A task instance as Airflow runs it: tries, retries, clears, and workers that are given up."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from tests.simulation.seams import RUNNING
from tests.simulation.timeline import Killed, Worker
from tests.simulation.triggering import Triggering

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

#: Seconds after which Airflow gives a worker up that it hears nothing of.
HEARTBEAT = 300.0


class Store:
    """Airflow's task state store of one task instance."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        RUNNING.worker.step("store")
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        worker = RUNNING.worker
        worker.step("store")
        if RUNNING.ledger.fault_at(RUNNING.timeline.now) == "away":
            raise ConnectionError("no API server")
        self.values[key] = value
        worker.step("store done")


@dataclass
class TaskInstance:
    """A task instance: its tries, one after the other, and what it returned."""

    simulation: Simulation
    run: str
    task: str
    part: int
    retries: int
    act: Any
    on_end: Any
    map_index: int = -1
    try_number: int = 0
    clears: int = 0
    cleared_at: float = 0.0
    state: str = "none"
    output: Any = None
    worker: Worker | None = None
    store: Store = field(default_factory=Store)
    tries_left: int = 0
    #: How often it was deferred, and how many outputs its sensor was given without a value.
    deferrals: int = 0
    missing_outputs: int = 0
    #: When that was.
    given_at: float = 0.0
    #: How many triggers it has had, and the event with which it is resumed.
    triggers: int = 0
    event: Any = None
    #: RequestIds whose verdicts are in that event.
    reported: list[str] = field(default_factory=list)
    #: Ends of tries: when, and how.
    ended_at: float = 0.0
    error: BaseException | None = None

    def begin(self) -> None:
        """Begin with the first try, also after a clear."""
        self.tries_left = self.retries
        self.begin_try()

    def begin_try(self) -> None:
        self.try_number += 1
        self.state, self.output = "running", None
        simulation = self.simulation
        self.worker = worker = simulation.worker(self.run, self.task, self.part, self.try_number)
        worker.give_up = lambda: self.lost(worker)
        worker.on_death.append(lambda: simulation.timeline.at(simulation.timeline.now + HEARTBEAT, worker.give_up))
        ti = _Ti(self)
        context: Any = {
            "ti": ti,
            "dag_run": SimpleNamespace(clear_number=self.clears),
            "task_state_store": self.store,
            "outlet_events": {},
            "event": self.event,
        }
        self.event = None

        def body() -> None:
            state, output = "success", None
            error: Exception | None = None
            try:
                output = self.act(context)
            except Killed:
                raise
            except TaskDeferred as deferral:
                state, output = "deferred", deferral
            except AirflowSkipException:
                state = "skipped"
            except (AirflowFailException, AirflowSensorTimeout) as raised:
                state, error = "failed", raised
            except Exception as raised:
                state, error = "retry", raised
            worker.ended_at = simulation.timeline.now
            given = output if state in ("success", "deferred") else ti.pushed
            simulation.timeline.at(simulation.timeline.now, lambda: self.ended(worker, state, given, error))

        worker.start(body)

    def resume(self, event: Any, reported: list[str]) -> None:
        """Go on with the event of the trigger."""
        self.event, self.reported = event, reported
        self.begin_try()

    def fail_deferred(self) -> None:
        """End a try that has waited in vain for its trigger."""
        self.state = "running"
        if self.worker is not None:
            self.ended(self.worker, "retry", None, None)

    def lost(self, worker: Worker) -> None:
        """Give a worker up."""
        if worker is self.worker and self.state == "running" and worker.ended_at is None:
            self.simulation.tell(f"{worker.name} is given up")
            worker.is_given_up = True
            self.ended(worker, "retry", None, None)

    def ended(self, worker: Worker, state: str, output: Any, error: BaseException | None) -> None:
        if worker is not self.worker or self.state != "running":
            self.simulation.tell(f"{worker.name}, given up before, ends: {state} {error or ''}")
            return
        simulation = self.simulation
        if error is None:
            for request_id in self.reported:
                simulation.wire.known_at.setdefault(request_id, simulation.timeline.now)
        if state == "deferred":
            simulation.tell(f"{worker.name} is deferred")
            self.state = state
            self.deferrals += 1
            simulation.auditor.tasks.deferred(self)
            Triggering(self, output)
            return
        self.output, self.error, self.ended_at = output, error, simulation.timeline.now
        simulation.tell(f"{worker.name}: {state} {(output or {}).get('counts', '')} {error or ''}")
        simulation.auditor.task_ended(self, worker, state, output, error)
        if state == "retry" and self.tries_left > 0:
            self.tries_left -= 1
            self.state = "up for retry"
            delay = simulation.rng.choice((1.0, 60.0, 300.0)) * (0.5 + simulation.rng.random())
            simulation.timeline.at(simulation.timeline.now + delay, self.begin_try)
            return
        self.state = "failed" if state == "retry" else state
        self.on_end(self)


class _Ti:
    """What a task sees of itself."""

    def __init__(self, instance: TaskInstance) -> None:
        self.dag_id = {"k": "captures", "s": "second"}.get(instance.run[0], "nightly")
        self.run_id, self.task_id = instance.run, instance.task
        self.map_index, self.try_number = instance.map_index, instance.try_number
        self.pushed: Any = None
        self._simulation = instance.simulation

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = value

    def get_task_states(self, *, run_ids: list[str], task_ids: list[str], **_: Any) -> dict[str, dict[str, str]]:
        states = {
            one.task if one.map_index < 0 else f"{one.task}_{one.map_index}": one.state
            for one in self._simulation.instances
            if one.run in run_ids and one.task in task_ids
        }
        return {run_ids[0]: states}
