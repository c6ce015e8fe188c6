"""
Nights of a sync in every order that hypothesis can think of, against a model of LeadSquared that is as bad as allowed.

The model takes requests and decides them in any order and at any time within its ladder; responses get lost, tasks
die. Never may two values of one lead be on their way at once, nor an older one arrive after a newer one; and when all
calms down, the CRM is as the warehouse is.
"""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import ApiError, NoConnectionError, NoResponseError, RejectedError
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import Verdict
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, SyncLedger
from airflow_provider_leadsquared.sync.mapping import ColumnMapping
from airflow_provider_leadsquared.sync.policies import Policies, RulesWithPolicies
from airflow_provider_leadsquared.sync.replay import Replay
from airflow_provider_leadsquared.sync.run import SyncOptions, SyncRun

KEYS, VALUES = ("1", "2"), ("Pune", "Kochi")
#: LeadSquared decides within this; a row waits a little longer, for a call follows its intent after some time.
LONGEST, SETTLE_TIMEOUT = 950.0, 1_000.0
COLUMNS = ColumnMapping.build("*", columns=("id", "EmailAddress", "mx_City"), row_key="id", api=LEAD_CAPTURE)
NO_RULES = cast(RulesWithPolicies, SimpleNamespace(row="", exists=None, check=lambda _: None))
#: What may become of a sending, and of a request.
SENDINGS = ("accepted", "accepted", "accepted after doubt", "lost", "not taken", "refused", "refused after doubt")
DECISIONS = ("yes", "yes", "rejected", "failed", "failed, but stored")


class DiedError(Exception):
    """The task's process is gone."""


@dataclass(eq=False)
class Request:
    """One request in LeadSquared's queue."""

    id: str
    key: str
    value: str
    age: int
    at: float
    verdict: State | None = None
    is_known: bool = False


class LeadSquared:
    """A queue and a CRM, and what must never happen in them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.stored: dict[str, str] = {}
        self._ages: dict[str, int] = dict.fromkeys(KEYS, 0)
        self._stored_age: dict[str, int] = dict.fromkeys(KEYS, 0)
        self._newest: dict[str, str] = {}

    @property
    def pending(self) -> list[Request]:
        return [request for request in self.requests if request.verdict is None]

    def take(self, key: str, value: str, at: float) -> Request:
        for other in self.pending:
            if other.key == key:
                assert other.value == value, "two values of one lead are on their way"
                assert not other.is_known, "an open request was sent once more"
        if self._newest.get(key) != value:
            self._ages[key] += 1
            self._newest[key] = value
        request = Request(str(uuid.uuid4()), key, value, self._ages[key], at)
        self.requests.append(request)
        return request

    def decide(self, request: Request, decision: str) -> None:
        if decision in ("yes", "failed, but stored"):
            assert request.age >= self._stored_age[request.key], "an older value came after a newer one"
            self._stored_age[request.key] = request.age
            self.stored[request.key] = request.value
        states = {"yes": State.UPDATED, "rejected": State.REJECTED}
        request.verdict = states.get(decision, State.FAILED)


class Nights(RuleBasedStateMachine):
    """One sync, its warehouse, and LeadSquared."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(self._connect, table="ledger")
        self.now = 1_700_000_000.0
        self.night = 0
        self.leadsquared = LeadSquared()
        self.warehouse: dict[str, str] = {}

    @initialize(value=st.sampled_from(VALUES))
    def begin(self, value: str) -> None:
        self.warehouse = dict.fromkeys(KEYS, value)

    @rule(key=st.sampled_from(KEYS), value=st.sampled_from(VALUES))
    def change(self, key: str, value: str) -> None:
        self.warehouse[key] = value

    @rule(
        sendings=st.lists(st.sampled_from(SENDINGS), min_size=1, max_size=4),
        dies_at=st.none() | st.integers(0, 9),
        is_retry=st.booleans(),
        full_refresh=st.booleans(),
        replay=st.booleans(),
    )
    def run_task(
        self, sendings: list[str], dies_at: int | None, is_retry: bool, full_refresh: bool, replay: bool
    ) -> None:
        self.night += not is_retry
        with suppress(DiedError):
            self._run(cycle(sendings), dies_at, full_refresh=full_refresh, replay=replay)

    @rule(changed=st.sampled_from(KEYS), value=st.sampled_from(VALUES), decision=st.sampled_from(DECISIONS))
    def pass_a_night(self, changed: str, value: str, decision: str) -> None:
        """Change a lead and run, as most nights go: without a fault on the way, and judged within minutes."""
        self.warehouse[changed] = value
        self.night += 1
        self._run(cycle(["accepted"]), None)
        for request in self.leadsquared.pending:
            if request.is_known:
                self.leadsquared.decide(request, decision)
        self.poll()

    @rule()
    def poll(self) -> None:
        """Poll all that is open."""
        requests = {request.id: request for request in self.leadsquared.requests}
        ledger = self._ledger(OpenRequests, runs=[self._run_of_task])
        known = ledger.load().entries.values()
        judged = [(entry, requests[entry.request_id]) for entry in known]
        ledger.write(
            [
                entry.judged(Verdict(request.verdict, f"lead {request.key}"), self.now)
                for entry, request in judged
                if request.verdict is not None
            ]
        )

    @precondition(lambda self: self.leadsquared.pending)
    @rule(data=st.data(), decision=st.sampled_from(DECISIONS))
    def decide(self, data: st.DataObject, decision: str) -> None:
        self.leadsquared.decide(data.draw(st.sampled_from(self.leadsquared.pending)), decision)

    @rule(seconds=st.floats(1, SETTLE_TIMEOUT), decision=st.sampled_from(DECISIONS))
    def wait(self, seconds: float, decision: str) -> None:
        """Let time pass; what LeadSquared took has its decision when the ladder ends."""
        self.now += seconds
        for request in self.leadsquared.pending:
            if self.now - request.at >= LONGEST:
                self.leadsquared.decide(request, decision)

    def teardown(self) -> None:
        """Let all faults end: two nights later the CRM is as the warehouse is."""
        if self.warehouse:
            for _ in range(2):
                self.wait(SETTLE_TIMEOUT, "yes")
                self.poll()
                self.night += 1
                self._run(cycle(["accepted"]), None, replay=True)
            self.wait(SETTLE_TIMEOUT, "yes")
            assert self.leadsquared.stored == self.warehouse
        self.folder.cleanup()

    def _run(
        self, sendings: cycle[str], dies_at: int | None, *, full_refresh: bool = False, replay: bool = False
    ) -> None:
        ledger = self._ledger(SyncLedger, run=self._run_of_task)
        ledger.claim(str(uuid.uuid4()))
        ledger.begin()
        run = SyncRun(
            columns=COLUMNS,
            ledger=ledger,
            policies=Policies(),
            rules=NO_RULES,
            options=SyncOptions(api=LEAD_CAPTURE, full_refresh=full_refresh, replay=Replay() if replay else None),
        )
        rows = [(key, f"lead{key}@example.org", value) for key, value in self.warehouse.items()]
        values = {row[0]: row[2] for row in rows}
        steps = iter(range(1_000))

        def step() -> None:
            self.wait(1.0, "yes")
            if next(steps) == dies_at:
                raise DiedError

        try:
            run.read(rows, lambda _: None)
            ledger.write_not_sent(run.not_sent())
            run.keep_unchanged()
            for batch in run.batches():
                to_send = batch.to_send()
                intended = ledger.intend([(batch.intend(row), batch.payloads[row]) for row in to_send])
                assert all(entry.state.is_to_send for entry in intended), "no other run is at work"
                for row in to_send:
                    step()
                    key = str(batch.entries[row].row_key)
                    outcome, request = self._send(key, values[key], next(sendings))
                    step()
                    ledger.write([batch.record(row, outcome, self.now)])
                    if request is not None:
                        request.is_known = True
            run.reload_states()
            assert run.counts().read == len(rows) + len(run.sent_before)
        finally:
            run.close()

    def _send(self, key: str, value: str, outcome: str) -> tuple[Receipt | ApiError, Request | None]:
        if outcome == "not taken":
            return NoConnectionError("no connection"), None
        if outcome == "refused":
            return RejectedError("refused", "MXInvalidInputException", "no"), None
        request = self.leadsquared.take(key, value, self.now)
        if outcome == "lost":
            return NoResponseError("no response"), None
        if outcome == "refused after doubt":
            error = RejectedError("refused", "MXInvalidInputException", "no")
            error.after_doubt = True
            return error, None
        is_second = outcome == "accepted after doubt"
        if is_second:
            request = self.leadsquared.take(key, value, self.now)
        return Receipt(request.id, after_doubt=is_second), request

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(Path(self.folder.name) / "ledger.db")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _ledger(self, kind: type, **options: Any) -> Any:
        return kind(
            self.database,
            identity=SyncIdentity(sync="sync", account="https://crm.example"),
            settle_timeout=SETTLE_TIMEOUT,
            clock=lambda: self.now,
            shared_clock=lambda _: self.now,
            **options,
        )

    @property
    def _run_of_task(self) -> RunOfTask:
        return RunOfTask("nightly", f"night {self.night}", "sync")


TestNights = Nights.TestCase
TestNights.settings = settings(deadline=None, max_examples=50, stateful_step_count=20, derandomize=True)
