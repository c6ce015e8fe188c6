"""One simulation: the plan's events, then quiet, and calm nights at the end."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from functools import partial
from typing import Any

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.sandbox.settings import Settings
from tests.simulation.auditor import Auditor
from tests.simulation.events import DAY, HOUR, Event
from tests.simulation.ledger import LedgerServer
from tests.simulation.others import Others
from tests.simulation.plan import CALM_NIGHTS, Plan
from tests.simulation.runs import Read, Runs, sync_arguments
from tests.simulation.seams import RUNNING
from tests.simulation.stories import THEMES
from tests.simulation.themes import EVERYTHING
from tests.simulation.timeline import START, Hanging, Timeline, Worker
from tests.simulation.tries import HEARTBEAT, TaskInstance
from tests.simulation.troubles import Troubles
from tests.simulation.watched import TimelineClock, WatchedAccount
from tests.simulation.wire import Wire, random_of

_BUSY = ("running", "up for retry", "deferred")
HOST = "https://asyncapi-in21.leadsquared.com"


class Simulation:
    """
    One simulation.

    :param plan: What happens.
    :param kept: Which of the plan's events happen, by number; None for all.
    :param tells: Whether to keep a story.
    """

    def __init__(self, plan: Plan, kept: set[int] | None = None, *, tells: bool = False) -> None:
        self.plan = plan
        self.events = [event for number, event in enumerate(plan.events) if kept is None or number in kept]
        self.rng = random_of(plan.seed, "world")
        self.timeline = Timeline(random_of(plan.seed, "order"))
        self.story: list[str] = []
        self._tells = tells
        self._digest = hashlib.sha256()
        self.warehouse: dict[int, tuple[str | None, str | None, str]] = {}
        self.reads: dict[Worker, Read] = {}
        #: The row keys of the list that a try of a capture was given.
        self.given: dict[Worker, set[str]] = {}
        self.workers: list[Worker] = []
        self.instances: list[TaskInstance] = []
        self._troubles: dict[tuple[str, str, int, int], list[Event]] = {}
        self._clocks: dict[str, Event] = {}
        self.arguments = sync_arguments(plan)
        for event in self.events:
            facts = event.facts
            if event.kind in ("crash", "pause"):
                place = facts["run"], facts["task"], facts["part"], facts["try"]
                self._troubles.setdefault(place, []).append(event)
            elif event.kind == "clock":
                self._clocks[facts["run"]] = event
        self._faults = Troubles(self.events)
        self.runs = Runs(self)
        others = Others(self)
        self._acts = {
            "put": self._put,
            "drop": self._drop,
            "run": self.runs.do_run,
            "capture": self.runs.do_capture,
            "clear": self.runs.do_clear,
            "edit": others.do_edit,
            "settings": others.do_settings,
            "backlog": self._backlog,
            "ledger lost": others.do_ledger_lost,
            "prune": others.do_prune,
        }
        settings = Settings().changed(plan.settings)
        self.account = WatchedAccount(settings, (), TimelineClock(self.timeline))
        self.wire = Wire(self.timeline, self.account, self._faults.of_call)
        self.wire.names_failures = "named failures" in plan.parts
        self.wire.unseen = THEMES.get(plan.theme, EVERYTHING).unseen
        self.wire.metrics_lie = "lying metrics" in plan.parts
        if "steady metrics" in plan.parts:
            self.wire.metrics_error = random_of(plan.seed, "metrics").random()
        RUNNING.timeline, RUNNING.rng, RUNNING.wire = self.timeline, random_of(plan.seed, "ids"), self.wire
        RUNNING.account = Account.from_settings(
            host=HOST,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            extra={"async_api_key": settings.api_key},
        )
        self.ledger = RUNNING.ledger = LedgerServer(
            self.timeline, self._faults.ledger_fault, is_empty=self.rng.random() < 0.03
        )
        self.auditor = Auditor(self)
        self.nights = 0
        #: When the faults ended.
        self.quiet_at = math.inf

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
            act = self._acts.get(event.kind)
            if act is not None:
                self.timeline.at(START + event.at, partial(act, event))
                end = max(end, START + event.at)
        self.nights = self.plan.nights
        self.timeline.run(end + 12 * HOUR)
        self._faults.end()
        self.quiet_at = self.timeline.now
        for _ in range(12):
            self.timeline.run(self.timeline.now + 26 * HOUR)
            if not self._busy():
                break
        else:
            raise Hanging(f"A11 there is no end of: {', '.join(self._busy())}")
        self._calm()
        self.auditor.end()

    @property
    def is_calm_for_days(self) -> bool:
        """Whether there have been no faults for so long that each request has had its time."""
        return self.timeline.now - self.quiet_at > 2 * DAY

    def _busy(self) -> list[str]:
        return [f"{one.run}.{one.task}" for one in self.instances if one.state in _BUSY] + [
            worker.name for worker in self.workers if worker.strands and not worker.is_dead
        ]

    def _calm(self) -> None:
        self.tell("calm")
        if self.auditor.others_wrote:
            for customer, (email, phone, city) in self.warehouse.items():
                self.warehouse[customer] = email, phone, f"{city}+"
        of_last = {"parts": 1, "deferrable": False}
        for event in self.events:
            if event.kind == "run" and event.facts["run"].startswith("n"):
                of_last = {name: event.facts[name] for name in of_last}
        # Neither captures nor the second sync have calm nights: a sensor asks for what they have open.
        outputs: dict[str, list[Any]] = defaultdict(list)
        for instance in self.instances:
            if instance.run[0] in "ks" and instance.task == "send":
                outputs[instance.run].append(instance.output)
        for run, given in outputs.items():
            if any(given):
                self.runs.wait_for(run, given, {"sensor": 0.0, "close_after": None}, try_number=90)
        for night in range(CALM_NIGHTS):
            self.auditor.night_begins()
            self.runs.do_run(
                Event(
                    0.0,
                    "run",
                    {
                        "run": f"calm{night}",
                        **of_last,
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
        is_wrong = clock is not None and task in clock.facts["tasks"]
        offset = _offset(self.timeline.now, clock.facts) if clock is not None and is_wrong else lambda now: 0.0
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
            worker.pause(event.facts["seconds"], is_suspended=event.facts["suspended"])
            if event.facts["given_up"]:
                self.timeline.at(self.timeline.now + HEARTBEAT, lambda: worker.give_up())

        return pause

    # --- the warehouse

    def read(self, worker: Worker, part: int, parts: int) -> list[tuple[Any, ...]]:
        """Return the rows of a part as they are now, in a stable order."""
        rows = {one: row for one, row in sorted(self.warehouse.items()) if one % parts == part}
        self.reads[worker] = Read(self.timeline.now, rows)
        self.tell(f"{worker.name} reads {rows}")
        return [(customer, *row) for customer, row in rows.items()]

    def _put(self, event: Event) -> None:
        facts = event.facts
        self.warehouse[facts["customer"]] = facts["email"], facts["phone"], facts["city"]
        self.tell(str(event))

    def _backlog(self, event: Event) -> None:
        """Let LeadSquared keep back what it accepts for a while."""
        account = self.account

        def work(seconds: float) -> None:
            account.run_due()
            account.settings = account.settings.changed({"queue_delay": seconds})

        usual = account.settings.queue_delay
        work(event.facts["seconds"])
        self.timeline.at(START + event.facts["until"], lambda: work(usual))
        self.tell(str(event))

    def _drop(self, event: Event) -> None:
        self.warehouse.pop(event.facts["customer"], None)
        self.tell(str(event))


def _offset(begun: float, facts: dict[str, Any]) -> Any:
    return lambda now: facts["offset"] + (facts["jump"] if now > begun + 1.0 else 0.0)
