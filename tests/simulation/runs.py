"""The runs of a simulation: syncs, captures, their sensors, and clears."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.sync.rows import Rows
from airflow_provider_leadsquared.tasks.sync_operator import SyncOperator
from tests.simulation.events import Event
from tests.simulation.plan import Plan
from tests.simulation.seams import RUNNING
from tests.simulation.tries import TaskInstance
from tests.simulation.wire import random_of

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

COLUMNS = ("customer_id", "email", "phone", "city")
MAPPING = {"email": "EmailAddress", "phone": "Phone", "city": "mx_City"}


@dataclass(slots=True)
class Read:
    """What a try of a sync has read."""

    at: float
    rows: dict[int, tuple[str | None, str | None, str]]


class SimulatedSync(SyncOperator):
    """A sync whose rows are those of the simulated warehouse."""

    simulation: Simulation
    part = (0, 1)

    @contextmanager
    def open_rows(self) -> Iterator[Rows]:
        """Read the warehouse as it is now."""
        worker = RUNNING.worker
        worker.step("query")
        worker.sleep(worker.rng.random())
        rows = self.simulation.read(worker, *self.part)

        def batches() -> Iterator[list[tuple[Any, ...]]]:
            worker.step("rows")
            worker.sleep(worker.rng.random() * (worker.rng.random() < 0.1) * 30)
            yield rows

        yield Rows(COLUMNS, batches())
        worker.step("source closed")


class SimulatedSensor(LeadStatusSensor):
    """A sensor without what Airflow does around a poke."""

    def execute(self, context: Any) -> PokeReturnValue:
        """Poll, or defer."""
        return self.poke(context)


def sync_arguments(plan: Plan) -> dict[str, Any]:
    """Return what the author of the sync has set."""
    rng, parts = random_of(plan.seed, "arguments"), plan.parts
    arguments: dict[str, Any] = {}
    if "unmoved keys" in parts:
        arguments["lead_update_behavior"] = "DoNotUpdateUniqueFields"
    elif "behaviour" in parts:
        arguments["lead_update_behavior"] = rng.choice(
            ("DoNotUpdateUniqueFields", "DoNotUpdateUniqueFields", "UpdateOnlyEmptyFields", "DoNotUpdate")
        )
    if "clear" in parts:
        arguments["null_handling"] = "clear"
    if "search by" in parts:
        arguments["search_by"] = rng.choice(("EmailAddress", "Phone"))
    return arguments


def later_arguments(plan: Plan) -> dict[str, Any]:
    """Return what the author of the sync sets later on: less than before, or another attribute to search by."""
    arguments = sync_arguments(plan)
    if "search_by" in arguments:
        return {**arguments, "search_by": "Phone" if arguments["search_by"] == "EmailAddress" else "EmailAddress"}
    arguments.pop("lead_update_behavior", None)
    return arguments


class Runs:
    """
    The runs of one simulation.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._parts_left: dict[str, set[int]] = {}

    def _begin(self, instance: TaskInstance) -> None:
        self._simulation.instances.append(instance)
        instance.begin()

    def do_run(self, event: Event) -> None:
        """Begin a run of the sync: a task for each part, and a sensor behind them."""
        facts = event.facts
        parts = facts["parts"]
        left = self._parts_left.setdefault(facts["run"], set())
        left.update(range(parts))

        def ended(instance: TaskInstance) -> None:
            left.discard(instance.part)
            if not left:
                outputs = [one.output for one in instances]
                if any(outputs) and facts["sensor"] is not None:
                    given = outputs if parts > 1 else outputs[0]
                    self._simulation.timeline.at(
                        self._simulation.timeline.now + facts["sensor"],
                        lambda: self.wait_for(facts["run"], given, facts),
                    )

        instances = self._instances(facts, self._sync, ended)
        for instance in instances:
            self._begin(instance)

    def _instances(self, facts: dict[str, Any], act: Any, ended: Any) -> list[TaskInstance]:
        """Return the instances of a task that sends: several, if it is mapped."""
        parts = facts["parts"]
        return [
            TaskInstance(
                self._simulation,
                facts["run"],
                "send",
                part,
                facts["retries"],
                lambda context, part=part: act(context, facts, part),
                ended,
                map_index=part if parts > 1 else -1,
            )
            for part in range(parts)
        ]

    def _sync(self, context: Any, facts: dict[str, Any], part: int) -> Any:
        options = {name: facts[name] for name in ("full_refresh", "replay", "concurrency") if name in facts}
        operator = SimulatedSync(
            task_id="send",
            row_key="customer_id",
            mapping=MAPPING,
            ledger_conn_id="ledger",
            **self._simulation.arguments,
            **options,
        )
        operator.simulation, operator.part = self._simulation, (part, facts["parts"])
        return operator.execute(context)

    def wait_for(self, run: str, given: Any, facts: dict[str, Any], try_number: int = 0) -> None:
        """Begin the sensor of a run."""
        arguments = {} if facts["close_after"] is None or run.startswith("k") else {"close_after": facts["close_after"]}
        sensor_of: dict[str, Any] = {}

        def act(context: Any) -> Any:
            sensor = SimulatedSensor(
                task_id="wait", request_ids=given, deferrable=facts.get("deferrable", False), **arguments
            )
            sensor.upstream_task_ids.add("send")
            sensor_of["now"] = sensor
            event = context["event"]
            result = sensor.execute(context) if event is None else sensor.execute_complete(context, event)
            sensor_of["done"] = bool(result)
            return result.xcom_value

        def ended(instance: TaskInstance) -> None:
            if instance.state == "success" and not sensor_of.pop("done", True):
                instance.state = "waiting"
                self._simulation.timeline.at(
                    self._simulation.timeline.now + sensor_of["now"].poke_interval, instance.begin_try
                )

        instance = TaskInstance(self._simulation, run, "wait", 0, 2, act, ended, try_number=try_number)
        instance.given_at = self._simulation.timeline.now
        instance.missing_outputs = given.count(None) if isinstance(given, list) else 0
        self._begin(instance)

    def do_capture(self, event: Event) -> None:
        """Begin a capture, of one or several instances, and a sensor behind it."""
        facts = event.facts
        parts = facts["parts"]
        left = self._parts_left.setdefault(facts["run"], set())
        left.update(range(parts))

        def ended(instance: TaskInstance) -> None:
            left.discard(instance.part)
            outputs = [one.output for one in instances]
            if not left and any(outputs):
                self.wait_for(facts["run"], outputs if parts > 1 else outputs[0], {**facts, "close_after": None})

        instances = self._instances(facts, self._capture, ended)
        for instance in instances:
            self._begin(instance)

    def _capture(self, context: Any, facts: dict[str, Any], part: int) -> Any:
        RUNNING.worker.step("begin")
        rows = [row for row in facts["rows"] if int(row["id"].partition(".")[2]) % facts["parts"] == part]
        if context["ti"].try_number > 1:
            rows = [row for row in facts["later"] if row["id"] in {one["id"] for one in rows}]
        self._simulation.given[RUNNING.worker] = {row["id"] for row in rows}
        operator = LeadCaptureOperator(
            task_id="send",
            leads=[{name: value for name, value in row.items() if value is not None} for row in rows],
            row_key="id",
            require_match_key=False,
            on_clear=facts["on_clear"],
            concurrency=facts["concurrency"],
            ledger_conn_id="ledger" if facts["store"] == "sql" else None,
        )
        return operator.execute(context)

    def do_clear(self, event: Event) -> None:
        """Clear the tasks of a run that has ended."""
        run = event.facts["run"]
        instances = [one for one in self._simulation.instances if one.run == run and one.task == "send"]
        if not all(one.state in ("success", "failed") for one in instances):
            return
        self._parts_left.setdefault(run, set()).update(one.part for one in instances)
        for instance in instances:
            self._simulation.tell(f"{run}.{instance.part} is cleared")
            instance.clears += 1
            instance.cleared_at = self._simulation.timeline.now
            instance.begin()
