"""One simulation: the plan's events, the tasks of Airflow as far as they matter, and the calm nights at the end."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.sync.rows import Rows
from airflow_provider_leadsquared.tasks.sync_operator import SyncOperator
from tests.simulation.ledger import LedgerServer
from tests.simulation.plan import CALM_NIGHTS, DAY, HOUR, Event, Plan
from tests.simulation.seams import RUNNING
from tests.simulation.timeline import START, Killed, Timeline, Worker
from tests.simulation.wire import (
    LATE,
    LOST,
    REFUSED,
    RESET_AFTER,
    RESET_BEFORE,
    TimelineClock,
    Trouble,
    WatchedAccount,
    Wire,
    random_of,
    sandbox_fault,
)

COLUMNS = ("customer_id", "email", "phone", "city")
MAPPING = {"email": "EmailAddress", "phone": "Phone", "city": "mx_City"}
#: As docs/nightly-sync.md has it.
PRUNE = """
DELETE FROM leadsquared_ledger
WHERE written_at < ?
    AND NOT EXISTS (
        SELECT 1 FROM leadsquared_ledger_lines AS l
        WHERE l.last_scope = leadsquared_ledger.scope AND l.last_entry = leadsquared_ledger.entry_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM leadsquared_ledger_unsettled AS u
        WHERE u.scope = leadsquared_ledger.scope AND u.entry_id = leadsquared_ledger.entry_id
    )
"""
#: Seconds after which Airflow gives a worker up that it hears nothing of.
HEARTBEAT = 300.0
HOST = "https://asyncapi-in21.leadsquared.com"


class Violation(Exception):
    """A promise was not kept."""


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
    state: str = "none"
    output: Any = None
    worker: Worker | None = None
    store: Store = field(default_factory=Store)
    tries_left: int = 0
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
        worker.on_death.append(
            lambda: simulation.timeline.at(simulation.timeline.now + HEARTBEAT, lambda: self.lost(worker))
        )
        ti = _Ti(self)
        context: Any = {
            "ti": ti,
            "dag_run": SimpleNamespace(clear_number=self.clears),
            "task_state_store": self.store,
            "outlet_events": {},
        }

        def body() -> None:
            state, output = "success", None
            error: Exception | None = None
            try:
                output = self.act(context)
            except Killed:
                raise
            except AirflowSkipException:
                state = "skipped"
            except (AirflowFailException, AirflowSensorTimeout) as raised:
                state, error = "failed", raised
            except Exception as raised:
                state, error = "retry", raised
            worker.is_ended = True
            given = output if state == "success" else ti.pushed
            simulation.timeline.at(simulation.timeline.now, lambda: self.ended(worker, state, given, error))

        worker.start(body)

    def lost(self, worker: Worker) -> None:
        """Give a worker up."""
        if worker is self.worker and self.state == "running" and not worker.is_ended:
            self.simulation.tell(f"{worker.name} is given up")
            self.ended(worker, "retry", None, None)

    def ended(self, worker: Worker, state: str, output: Any, error: BaseException | None) -> None:
        if worker is not self.worker or self.state != "running":
            self.simulation.tell(f"{worker.name}, given up before, ends: {state} {error or ''}")
            return
        simulation = self.simulation
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
        self.dag_id, self.run_id, self.task_id = "nightly", instance.run, instance.task
        if instance.run.startswith("k"):
            self.dag_id = "captures"
        self.map_index, self.try_number = instance.map_index, instance.try_number
        self.pushed: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = value

    def get_task_states(self, **_: Any) -> dict[str, dict[str, str]]:
        return {}


class Simulation:
    """
    One simulation.

    :param plan: What happens.
    :param kept: Which of the plan's events happen, by number; None for all.
    :param tells: Whether to keep a story.
    """

    def __init__(self, plan: Plan, kept: set[int] | None = None, *, tells: bool = False) -> None:
        from tests.simulation.auditor import Auditor

        self.plan = plan
        self.events = [event for number, event in enumerate(plan.events) if kept is None or number in kept]
        self.rng = random_of(plan.seed, "world")
        self.timeline = Timeline(random_of(plan.seed, "order"))
        self.story: list[str] = []
        self._tells = tells
        self._digest = hashlib.sha256()
        self.warehouse: dict[int, tuple[str | None, str | None, str]] = {}
        self.reads: dict[Worker, Read] = {}
        self.workers: list[Worker] = []
        self.instances: list[TaskInstance] = []
        self._parts_left: dict[str, set[int]] = {}
        self._windows: dict[str, list[tuple[float, float, dict[str, Any]]]] = {"call": [], "queue": [], "ledger": []}
        self._troubles: dict[tuple[str, str, int, int], list[Event]] = {}
        self._clocks: dict[str, Event] = {}
        self.arguments = self._arguments()
        for event in self.events:
            facts = event.facts
            if event.kind in self._windows:
                self._windows[event.kind].append((START + event.at, START + facts["until"], facts))
            elif event.kind in ("crash", "pause"):
                place = facts["run"], facts["task"], facts["part"], facts["try"]
                self._troubles.setdefault(place, []).append(event)
            elif event.kind == "clock":
                self._clocks[facts["run"]] = event
        settings = Settings().changed(plan.settings)
        self.account = WatchedAccount(settings, (), TimelineClock(self.timeline))
        self.wire = Wire(self.timeline, self.account, self._draw_trouble)
        RUNNING.timeline, RUNNING.rng, RUNNING.wire = self.timeline, random_of(plan.seed, "ids"), self.wire
        RUNNING.account = Account.from_settings(
            host=HOST,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            extra={"async_api_key": settings.api_key},
        )
        self.ledger = RUNNING.ledger = LedgerServer(
            self.timeline, self._ledger_fault, is_empty=self.rng.random() < 0.03
        )
        self.auditor = Auditor(self)
        self.nights = 0

    def _arguments(self) -> dict[str, Any]:
        """Return what the author of the sync has set."""
        rng, parts = random_of(self.plan.seed, "arguments"), self.plan.parts
        arguments: dict[str, Any] = {}
        if "behaviour" in parts:
            arguments["lead_update_behavior"] = rng.choice(
                ("DoNotUpdateUniqueFields", "DoNotUpdateUniqueFields", "UpdateOnlyEmptyFields", "DoNotUpdate")
            )
        if "clear" in parts:
            arguments["null_handling"] = "clear"
        if "search by" in parts:
            arguments["search_by"] = rng.choice(("EmailAddress", "Phone"))
        return arguments

    # --- telling

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        line = f"{self.timeline.now - START:12.3f} {text}"
        self._digest.update(line.encode())
        if self._tells:
            self.story.append(line)

    def digest(self) -> str:
        """Return a hash of all that happened: story, leads, ledger."""
        for lead in self.account.store.leads:
            self._digest.update(repr((lead.id, lead.values)).encode())
        self._digest.update("\n".join(self.ledger.real.iterdump()).encode())
        return self._digest.hexdigest()

    # --- running

    def run(self) -> None:
        """
        Run to the end.

        :raises Violation: A promise was not kept.
        """
        end = START + HOUR
        for event in self.events:
            act = getattr(self, f"_do_{event.kind.replace(' ', '_')}", None)
            if act is not None:
                self.timeline.at(START + event.at, partial(act, event))
                end = max(end, START + event.at)
        self.nights = self.plan.nights
        self.timeline.run(end + 12 * HOUR)
        self._windows = {kind: [] for kind in self._windows}
        for _ in range(12):
            self.timeline.run(self.timeline.now + 26 * HOUR)
            if not self._busy():
                break
        else:
            raise Violation(f"endless: {', '.join(self._busy())}")
        self._calm()
        self.auditor.end()

    def _busy(self) -> list[str]:
        return [f"{one.run}.{one.task}" for one in self.instances if one.state in ("running", "up for retry")] + [
            worker.name for worker in self.workers if worker.strands and not worker.is_dead
        ]

    def _calm(self) -> None:
        self.tell("calm")
        if self.auditor.others_wrote:
            for customer, (email, phone, city) in self.warehouse.items():
                self.warehouse[customer] = email, phone, f"{city}+"
        parts = next((event.facts["parts"] for event in reversed(self.events) if event.kind == "run"), 1)
        for instance in self.instances:
            if instance.run.startswith("k") and instance.task == "send" and instance.output is not None:
                self._wait_for(instance.run, [instance.output], {"sensor": 0.0, "close_after": None}, try_number=90)
        for night in range(CALM_NIGHTS):
            self.auditor.night_begins()
            self._do_run(
                Event(
                    0.0,
                    "run",
                    {
                        "run": f"calm{night}",
                        "parts": parts,
                        "sensor": 0.0,
                        "close_after": None,
                        "retries": 0,
                        "concurrency": 4,
                    },
                )
            )
            self.timeline.run(self.timeline.now + DAY)
            self.auditor.night_ends()
            self.nights += 1
            if self.auditor.is_still():
                break

    def worker(self, run: str, task: str, part: int, number: int) -> Worker:
        """Return a new process for a try, with what happens to it."""
        name = f"{run}.{task}.{part}.{number}"
        clock = self._clocks.get(run)
        offset = (lambda now: 0.0) if clock is None else _offset(self.timeline.now, clock.facts)
        worker = Worker(self.timeline, name, random_of(self.plan.seed, name), offset)
        self.workers.append(worker)
        for event in self._troubles.get((run, task, part, number), ()):
            place = event.facts["kind"], event.facts["step"]
            worker.at_step[place] = self._crash(event) if event.kind == "crash" else self._pause(event)
        return worker

    def _crash(self, event: Event) -> Any:
        def crash(worker: Worker) -> None:
            self.tell(f"{worker.name} is killed at step {event.facts['step']} ({event.facts['kind']})")
            worker.kill()

        return crash

    def _pause(self, event: Event) -> Any:
        def pause(worker: Worker) -> None:
            step = f"step {event.facts['step']} ({event.facts['kind']})"
            self.tell(f"{worker.name} is paused at {step} for {event.facts['seconds']} s")
            worker.pause(event.facts["seconds"])
            if event.facts["given_up"]:
                instance = next(one for one in self.instances if one.worker is worker)
                self.timeline.at(self.timeline.now + HEARTBEAT, lambda: instance.lost(worker))

        return pause

    def _start(self, instance: TaskInstance) -> None:
        self.instances.append(instance)
        instance.begin()

    # --- the warehouse

    def read(self, worker: Worker, part: int, parts: int) -> list[tuple[Any, ...]]:
        """Return the rows of a part as they are now, in a stable order."""
        rows = {one: row for one, row in sorted(self.warehouse.items()) if one % parts == part}
        self.reads[worker] = Read(self.timeline.now, rows)
        self.tell(f"{worker.name} reads {rows}")
        return [(customer, *row) for customer, row in rows.items()]

    def _do_put(self, event: Event) -> None:
        facts = event.facts
        self.warehouse[facts["customer"]] = facts["email"], facts["phone"], facts["city"]
        self.tell(str(event))

    def _do_drop(self, event: Event) -> None:
        self.warehouse.pop(event.facts["customer"], None)
        self.tell(str(event))

    # --- tasks

    def _do_run(self, event: Event) -> None:
        facts = event.facts
        parts = facts["parts"]
        left = self._parts_left.setdefault(facts["run"], set())
        left.update(range(parts))

        def ended(instance: TaskInstance) -> None:
            left.discard(instance.part)
            if not left:
                outputs = [one.output for one in instances if one.output is not None]
                if outputs and facts["sensor"] is not None:
                    given = outputs if parts > 1 else outputs[0]
                    self.timeline.at(
                        self.timeline.now + facts["sensor"], lambda: self._wait_for(facts["run"], given, facts)
                    )

        instances = []
        for part in range(parts):
            instance = TaskInstance(
                self,
                facts["run"],
                "send",
                part,
                facts["retries"],
                lambda context, part=part: self._sync(context, facts, part),
                ended,
                map_index=part if parts > 1 else -1,
            )
            instances.append(instance)
            self._start(instance)

    def _sync(self, context: Any, facts: dict[str, Any], part: int) -> Any:
        options = {name: facts[name] for name in ("full_refresh", "replay", "concurrency") if name in facts}
        operator = SimulatedSync(
            task_id="send", row_key="customer_id", mapping=MAPPING, ledger_conn_id="ledger", **self.arguments, **options
        )
        operator.simulation, operator.part = self, (part, facts["parts"])
        return operator.execute(context)

    def _wait_for(self, run: str, given: Any, facts: dict[str, Any], try_number: int = 0) -> None:
        arguments = {} if facts["close_after"] is None or run.startswith("k") else {"close_after": facts["close_after"]}
        sensor_of: dict[str, Any] = {}

        def act(context: Any) -> Any:
            sensor = LeadStatusSensor(task_id="wait", request_ids=given, **arguments)
            sensor_of["now"] = sensor
            result = sensor.poke(context)
            sensor_of["done"] = bool(result)
            return result.xcom_value

        def ended(instance: TaskInstance) -> None:
            if instance.state == "success" and not sensor_of.pop("done", True):
                instance.state = "waiting"
                self.timeline.at(self.timeline.now + sensor_of["now"].poke_interval, instance.begin_try)

        instance = TaskInstance(self, run, "wait", 0, 2, act, ended, try_number=try_number)
        self._start(instance)

    def _do_capture(self, event: Event) -> None:
        facts = event.facts
        rows = [{name: value for name, value in row.items() if value is not None} for row in facts["rows"]]

        def act(context: Any) -> Any:
            RUNNING.worker.step("begin")
            operator = LeadCaptureOperator(
                task_id="send",
                leads=rows,
                row_key="id",
                require_match_key=False,
                on_clear=facts["on_clear"],
                concurrency=facts["concurrency"],
                ledger_conn_id="ledger" if facts["store"] == "sql" else None,
            )
            return operator.execute(context)

        def ended(instance: TaskInstance) -> None:
            if instance.output is not None:
                self._wait_for(facts["run"], instance.output, {"close_after": None})

        self._start(TaskInstance(self, facts["run"], "send", 0, facts["retries"], act, ended))

    def _do_clear(self, event: Event) -> None:
        run = event.facts["run"]
        instances = [one for one in self.instances if one.run == run and one.task == "send"]
        if not all(one.state in ("success", "failed") for one in instances):
            return
        self._parts_left.setdefault(run, set()).update(one.part for one in instances)
        for instance in instances:
            self.tell(f"{run}.{instance.part} is cleared")
            instance.clears += 1
            instance.begin()

    # --- others

    def _do_edit(self, event: Event) -> None:
        account, rng = self.account, random.Random(event.facts["draw"])  # noqa: S311 - draws a simulation
        account.run_due()
        leads = sorted(account.store.leads, key=lambda lead: lead.number)
        if not leads:
            return
        lead, x, now = rng.choice(leads), rng.random(), self.timeline.now
        self.auditor.others_wrote = True
        if x < 0.4:
            account.store.update(lead, {"mx_City": f"other{rng.randrange(99)}"}, now)
            what = "a value"
        elif x < 0.8:
            name = rng.choice(("EmailAddress", "Phone"))
            values = [row[0 if name == "EmailAddress" else 1] for row in self.warehouse.values()]
            value = rng.choice([*values, None]) or ("o@example.org" if name == "EmailAddress" else "+91-9111100000")
            if account.store.find(name, value) is None:
                account.store.update(lead, {name: value}, now)
            what = f"{name} {value}"
        else:
            others = [one for one in leads if one is not lead]
            account.store.remove(lead, rng.choice(others) if others and rng.random() < 0.7 else None, now)
            what = "gone"
        self.tell(f"others change lead {lead.id}: {what}")

    def _do_ledger_lost(self, event: Event) -> None:
        self.tell("the ledger is lost")
        self.auditor.lost_ledgers += 1
        self.ledger.lose()

    def _do_prune(self, event: Event) -> None:
        """Delete old lines as the documentation says; here, old is what a day is elsewhere."""
        if self.ledger.holder is None and self.ledger.exists():
            self.auditor.is_pruned = True
            old = datetime.fromtimestamp(self.timeline.now - 1.25 * DAY, UTC).strftime("%Y-%m-%d %H:%M:%S")
            self.ledger.query(PRUNE, old)
            self.tell("the ledger is pruned")

    # --- faults

    def _active(self, kind: str) -> list[dict[str, Any]]:
        now = self.timeline.now
        return [facts for start, end, facts in self._windows[kind] if start <= now < end]

    def _ledger_fault(self, now: float) -> str | None:
        for start, end, facts in self._windows["ledger"]:
            if start <= now < end:
                return str(facts["what"])
        return None

    def _draw_trouble(self, endpoint: Any, worker: Worker) -> Trouble | None:
        trouble: Trouble | None = None
        for kind in ("call", "queue"):
            for facts in self._active(kind):
                if worker.rng.random() >= facts["share"]:
                    continue
                drawn = _trouble(facts["what"], endpoint.name, worker.rng)
                if drawn is None:
                    continue
                if trouble is None:
                    trouble = drawn
                else:
                    trouble.faults = {**drawn.faults, **trouble.faults}
                    trouble.kind = trouble.kind or drawn.kind
        return trouble


def _offset(begun: float, facts: dict[str, Any]) -> Any:
    return lambda now: facts["offset"] + (facts["jump"] if now > begun + 1.0 else 0.0)


def _trouble(what: str, endpoint: str, rng: random.Random) -> Trouble | None:
    """Draw what goes wrong with one call, None if this fault does not concern it."""
    accepted = rng.random() < 0.5
    if what in (RESET_BEFORE, RESET_AFTER, LOST):
        return Trouble(what, what)
    match what:
        case "refused":
            return Trouble(what, REFUSED)
        case "late":
            return Trouble(what, LATE, seconds=rng.choice((5.0, 29.0, 40.0)))
        case "stays":
            return Trouble(what, LOST, stays=rng.choice((5.0, 50.0, 85.0)))
        case "unavailable" | "redirect":
            return sandbox_fault(what, accepted=accepted)
        case "rate_limit":
            return sandbox_fault(what, shape=rng.choice(("429", "403", "200")))
        case "error":
            return sandbox_fault(what, http=rng.choice((500, 500, 200, 400)), accepted=accepted)
        case "gateway":
            return sandbox_fault(
                what, http=rng.choice((504, 400, 403, 404, 413, 429, 500, 502, 503)), accepted=accepted
            )
        case "garbage":
            shape = rng.choice(("html", "broken_json", "empty", "wrong_types", "no_request_id"))
            return sandbox_fault(what, shape=shape, accepted=accepted)
        case "html_page":
            return sandbox_fault(what, http=rng.choice((200, 404, 403, 500)), accepted=accepted)
        case "other_code":
            return sandbox_fault(what, body=rng.choice(("kept", "empty")))
        case "odd_receipt":
            return (
                None
                if endpoint != "capture"
                else sandbox_fault(what, shapes=(rng.choice(("bom", "other_id_key", "no_status")),))
            )
        case "odd_status":
            shapes = (
                "is_created_text",
                "is_created_number",
                "encoded_twice",
                "message_bom",
                "bom",
                "inner_failure",
                "reason_in_message",
                "reason_as_text",
            )
            return None if endpoint != "status" else sandbox_fault(what, shapes=(rng.choice(shapes),))
        case "unknown_request":
            return None if endpoint != "status" else sandbox_fault(what)
        case "keys_revoked":
            return sandbox_fault(what)
    if endpoint != "capture":
        return None
    match what:
        case "system_errors":
            return sandbox_fault(what, count=rng.choice((1, 1, 2, 5, 10)))
        case "all_attempts":
            return sandbox_fault("system_errors", count=11)
        case "reject":
            return sandbox_fault(what)
        case "silent_loss":
            return sandbox_fault(what, status=rng.choice(("in_queue", "unknown")))
        case "hidden":
            return sandbox_fault(what, polls=rng.choice((1, 3, 10)))
        case "flap":
            statuses = tuple(rng.choices(("In-Queue", "ERROR", "In-Progress", "Retrying"), k=2))
            return sandbox_fault(what, polls=rng.choice((2, 6, 12)), statuses=statuses)
    raise AssertionError(what)
