"""A small world for tests of the judge: real sandbox, network and ledger, and workers whose acts a test makes up."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from aiohttp import ClientError

from airflow_provider_leadsquared.sandbox.endpoints import Endpoint
from airflow_provider_leadsquared.sandbox.protocol import Call
from airflow_provider_leadsquared.sandbox.settings import Settings
from tests.simulation.auditor import Auditor
from tests.simulation.call_faults import RESET_BEFORE, Trouble, sandbox_fault
from tests.simulation.judging_crm import CrmJudge
from tests.simulation.judging_sendings import SendingJudge
from tests.simulation.judging_table import TableJudge
from tests.simulation.ledger import TABLE, LedgerServer
from tests.simulation.loop import VirtualLoop
from tests.simulation.runs import Read
from tests.simulation.timeline import Timeline, Worker
from tests.simulation.watched import TimelineClock, WatchedAccount
from tests.simulation.wire import Sent, Wire, random_of

EMAIL, PHONE = "asha@example.org", "+91-9000000001"
HOUR = 3_600.0
HOST = "asyncapi-in21.leadsquared.com"
FLAPS = sandbox_fault("flap", polls=6)
JSON = {"content-type": "application/json"}


class World:
    """A small world for the judge: the real sandbox, network and ledger, and workers whose acts the test makes up."""

    def __init__(self, **settings: Any) -> None:
        self.timeline = Timeline(random_of(1))
        self.account = WatchedAccount(Settings().changed(settings), (), TimelineClock(self.timeline))
        self.wire = Wire(self.timeline, self.account, lambda endpoint, worker, asked: None)
        self.ledger = LedgerServer(self.timeline, lambda now: None, is_empty=False)
        self.plan = SimpleNamespace(parts=set())
        self.arguments: dict[str, Any] = {}
        self.events: list[Any] = []
        self.instances: list[Any] = []
        self.workers: list[Worker] = []
        self.given: dict[Worker, set[str]] = {}
        self.is_calm_for_days = True
        self.reads: dict[Worker, Read] = {}
        self.warehouse: dict[int, tuple[str | None, str | None, str]] = {}
        self.auditor = Auditor(self)  # type: ignore[arg-type]  # a world of facts in place of a whole one

    def worker(self, name: str) -> Worker:
        """Return a worker; one of a sync has read the warehouse."""
        worker = Worker(self.timeline, name, random_of(name))
        self.workers.append(worker)
        if not name.startswith("k"):
            self.reads[worker] = Read(self.timeline.now, dict(self.warehouse))
        return worker

    def send(self, worker: Worker, lead: dict[str, str], trouble: Trouble | None = None) -> Sent:
        """Submit a lead; the receipt reaches the worker."""
        sent = self._call("capture", {}, worker, _body(lead), trouble)
        assert sent is not None
        sent.is_receipt_delivered, sent.answered_at = True, self.timeline.now
        return sent

    def lose(self, worker: Worker, lead: dict[str, str]) -> None:
        """Submit a lead over a connection that is reset before the request arrives."""
        endpoint = self._endpoint("capture")

        async def call() -> None:
            trouble = Trouble(RESET_BEFORE, RESET_BEFORE)
            url = f"https://{HOST}{endpoint.path}"
            await self.wire.deliver(worker, endpoint, trouble, url, {}, _body(lead))

        def act() -> None:
            with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.timeline)) as runner, suppress(ClientError):
                runner.run(call())

        worker.start(act)
        self.timeline.run(self.timeline.now + 1.0)

    def poll(self, worker: Worker, sent: Sent, trouble: Trouble | None = None) -> None:
        """Ask for a request."""
        assert sent.request is not None
        self._call("status", {"requestid": sent.request.id}, worker, b"", trouble)
        if trouble is None:
            self.wire.note_verdict(worker, sent.request.id)
            self.wire.note_found(worker, sent.request.id, is_sure=True)

    def _endpoint(self, name: str) -> Endpoint:
        return next(one for one in self.wire._endpoints.values() if one.name == name)

    def _call(
        self, name: str, query: dict[str, str], worker: Worker, body: bytes, trouble: Trouble | None
    ) -> Sent | None:
        settings = self.account.settings
        keys = {"accesskey": settings.access_key, "secretkey": settings.secret_key}
        call = Call(self._endpoint(name), {**keys, **query}, {"x-api-key": settings.api_key, **JSON}, body)
        self.account.run_due()
        _, sent, shown = self.wire._receive(call, worker, trouble, False)
        worker.shown += [] if shown is None else [shown]
        return sent

    def record(self, worker: Worker, row_key: str, state: str, sent: Sent | None = None, **columns: Any) -> None:
        """Write a line of the result table."""
        run = worker.name.partition(".")[0]
        line = {
            **dict.fromkeys(("scope", "dag_id", "task_id", "fingerprint", "api", "written_at"), "x"),
            **dict.fromkeys(("map_index", "generation", "row_no", "copy_no"), 0),
            "entry_id": f"{run} {row_key} {len(self.ledger.query(f'SELECT 1 FROM {TABLE}'))}",
            "run_id": run,
            "row_key": row_key,
            "state": state,
            "attempts": 1,
            "request_id": sent.request.id if sent is not None and sent.request is not None else None,
            **columns,
        }
        marks = ", ".join("?" * len(line))
        self.ledger.query(f"INSERT INTO {TABLE} ({', '.join(line)}) VALUES ({marks})", *line.values())

    def later(self, seconds: float = HOUR) -> None:
        """Let time pass, in which LeadSquared works."""
        self.timeline.run(self.timeline.now + seconds)
        self.account.run_due()

    def verdicts(self) -> None:
        """Judge A1 and A2."""
        self.auditor._check_verdicts()

    def sendings(self) -> None:
        """Judge A4, A5, A9, A12, A14 and A17."""
        SendingJudge(self, is_memory_whole=True).judge()  # type: ignore[arg-type]  # a world of facts in place of a whole one

    def table(self) -> None:
        """Judge A2, A10, A13 and A19."""
        TableJudge(self, is_memory_whole=True).judge()  # type: ignore[arg-type]  # a world of facts in place of a whole one

    def crm(self) -> None:
        """Judge A3 and A6."""
        CrmJudge(self).judge()  # type: ignore[arg-type]  # a world of facts in place of a whole one


def _body(lead: dict[str, str]) -> bytes:
    return json.dumps([{"Attribute": name, "Value": value} for name, value in lead.items()]).encode()


def lead(city: str, email: str | None = EMAIL, phone: str | None = None) -> dict[str, str]:
    """Return a row as it is sent."""
    given = {"EmailAddress": email, "Phone": phone, "mx_City": city}
    return {name: value for name, value in given.items() if value is not None}
