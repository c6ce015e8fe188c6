"""The judge finds a promise that is broken, and nothing where it was kept."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_leadsquared.sandbox.protocol import Call
from airflow_provider_leadsquared.sandbox.settings import Settings
from tests.simulation import judging_sendings
from tests.simulation.auditor import Auditor
from tests.simulation.call_faults import Trouble, sandbox_fault
from tests.simulation.judging_crm import CrmJudge
from tests.simulation.judging_sendings import SendingJudge
from tests.simulation.ledger import LOCK_SECONDS, TABLE, LedgerServer, WorkerConnection
from tests.simulation.runs import Read
from tests.simulation.timeline import Timeline, Violation, Worker
from tests.simulation.wire import Sent, TimelineClock, WatchedAccount, Wire, random_of

EMAIL, PHONE = "asha@example.org", "+91-9000000001"
HOUR = 3_600.0
FLAPS = sandbox_fault("flap", polls=6)
JSON = {"content-type": "application/json"}


class World:
    """A small world for the judge: the real sandbox, network and ledger, and workers whose acts the test makes up."""

    def __init__(self, **settings: Any) -> None:
        self.timeline = Timeline(random_of(1))
        self.account = WatchedAccount(Settings().changed(settings), (), TimelineClock(self.timeline))
        self.wire = Wire(self.timeline, self.account, lambda endpoint, worker: None)
        self.ledger = LedgerServer(self.timeline, lambda now: None, is_empty=False)
        self.plan = SimpleNamespace(parts=set())
        self.arguments: dict[str, Any] = {}
        self.events: list[Any] = []
        self.instances: list[Any] = []
        self.reads: dict[Worker, Read] = {}
        self.warehouse: dict[int, tuple[str | None, str | None, str]] = {}
        self.auditor = Auditor(self)  # type: ignore[arg-type]

    def worker(self, name: str) -> Worker:
        """Return a worker that has read the warehouse."""
        worker = Worker(self.timeline, name, random_of(name))
        self.reads[worker] = Read(self.timeline.now, dict(self.warehouse))
        return worker

    def send(self, worker: Worker, lead: dict[str, str], trouble: Trouble | None = None) -> Sent:
        """Submit a lead; the receipt reaches the worker."""
        body = json.dumps([{"Attribute": name, "Value": value} for name, value in lead.items()]).encode()
        sent = self._call("capture", {}, worker, body, trouble)
        assert sent is not None
        sent.is_receipt_delivered = True
        return sent

    def poll(self, worker: Worker, sent: Sent, trouble: Trouble | None = None) -> None:
        """Ask for a request."""
        assert sent.request is not None
        self._call("status", {"requestid": sent.request.id}, worker, b"", trouble)
        if trouble is None:
            self.wire.note_verdict(sent.request.id)

    def _call(
        self, name: str, query: dict[str, str], worker: Worker, body: bytes, trouble: Trouble | None
    ) -> Sent | None:
        settings = self.account.settings
        endpoint = next(one for one in self.wire._endpoints.values() if one.name == name)
        keys = {"accesskey": settings.access_key, "secretkey": settings.secret_key}
        call = Call(endpoint, {**keys, **query}, {"x-api-key": settings.api_key, **JSON}, body)
        self.account.run_due()
        return self.wire._receive(call, worker, trouble, False)[1]

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
        """Judge A4, A5, A9, A12 and A13."""
        SendingJudge(self, is_memory_whole=True).judge()  # type: ignore[arg-type]

    def crm(self) -> None:
        """Judge A3 and A6."""
        CrmJudge(self).judge()  # type: ignore[arg-type]


def lead(city: str, email: str | None = EMAIL, phone: str | None = None) -> dict[str, str]:
    """Return a row as it is sent."""
    given = {"EmailAddress": email, "Phone": phone, "mx_City": city}
    return {name: value for name, value in given.items() if value is not None}


def breaks(promise: str, judge: Any) -> None:
    """Demand that the judge finds a promise broken."""
    found = None
    try:
        judge()
    except Violation as violation:
        found = str(violation).partition(" ")[0]
    assert found == promise


# --- A1: receipts


def test_a_receipt_that_is_in_no_ledger_is_found():
    world = World()
    world.send(world.worker("n1.send.0.1"), lead("0.1"))
    breaks("A1", world.verdicts)


def locked_out(world: World) -> Worker:
    """Let a worker be refused a transaction, because another one is paused in its own."""
    first, second = world.worker("n1.send.0.1"), world.worker("n2.send.0.1")
    errors: list[str] = []

    def hold() -> None:
        connection = WorkerConnection(world.ledger, first)
        connection.cursor().execute("BEGIN IMMEDIATE")
        first.pause(10 * LOCK_SECONDS)
        first.sleep(1.0)
        connection.commit()

    def wait() -> None:
        second.sleep(0.5)
        try:
            WorkerConnection(world.ledger, second).cursor().execute("BEGIN IMMEDIATE")
        except Exception as error:
            errors.append(str(error))

    first.start(hold)
    second.start(wait)
    world.timeline.run(world.timeline.now + 20 * LOCK_SECONDS)
    assert errors == ["database is locked"]
    return second


def test_a_receipt_that_could_not_be_written_while_a_paused_worker_held_the_ledger_is_no_finding():
    world = World()
    world.send(locked_out(world), lead("0.1"))
    world.verdicts()


def test_a_receipt_of_a_worker_whose_transaction_was_ended_while_it_was_paused_is_no_finding():
    world = World()
    worker = world.worker("n1.send.0.1")

    def hold() -> None:
        WorkerConnection(world.ledger, worker).cursor().execute("BEGIN IMMEDIATE")
        worker.sleep(1_000.0)

    worker.start(hold)
    world.timeline.run(world.timeline.now + 2_000.0)
    world.send(worker, lead("0.1"))
    world.verdicts()


def test_a_row_that_was_sent_again_because_the_ledger_was_held_is_no_finding():
    world = World()
    worker = locked_out(world)
    sent = world.send(worker, lead("0.1"))
    worker.ended_at = world.timeline.now
    world.later()
    world.poll(world.worker("n2.wait.0.1"), sent)
    world.later()
    again = world.worker("n3.send.0.1")
    again.ended_at = world.timeline.now
    world.record(again, "0", "open", world.send(again, lead("0.1")))
    world.sendings()


# --- A2: verdicts


def test_a_request_that_is_decided_and_was_never_asked_for_is_found():
    world = World()
    worker = world.worker("n1.send.0.1")
    world.record(worker, "0", "open", world.send(worker, lead("0.1"), FLAPS))
    world.later()
    breaks("A2", world.verdicts)


def test_a_request_whose_verdict_was_shown_to_no_poll_may_be_open():
    world = World()
    worker = world.worker("n1.send.0.1")
    sent = world.send(worker, lead("0.1"), FLAPS)
    world.record(worker, "0", "open", sent)
    world.later()
    for _ in range(6):
        world.poll(worker, sent)
    world.verdicts()
    world.poll(worker, sent)
    breaks("A2", world.verdicts)


# --- A6: what the CRM holds


def test_a_row_whose_values_never_came_is_found():
    world = World()
    world.send(world.worker("n1.send.0.1"), lead("0.1"))
    world.later()
    world.warehouse = {0: (EMAIL, None, "0.2")}
    breaks("A6", world.crm)


def test_a_row_by_phone_is_no_finding_where_the_account_never_searches_by_phone_and_refuses_it():
    world = World(phone_match="never")
    worker = world.worker("n1.send.0.1")
    world.send(worker, lead("0.1", None, PHONE))
    world.later()
    refused = world.send(worker, lead("0.2", None, PHONE))
    world.later()
    assert refused.request is not None
    assert refused.request.state.value == "rejected"
    world.warehouse = {0: (None, PHONE, "0.2"), 1: (None, PHONE, "1.1")}
    world.crm()


def test_a_row_that_counts_as_superseded_after_others_changed_its_leads_match_key_is_no_finding():
    world = World()
    worker = world.worker("calm0.send.0.1")
    world.send(worker, lead("1.1"))
    world.later()
    world.warehouse = {0: (None, PHONE, "0.1"), 1: (EMAIL, None, "1.1")}
    world.record(worker, "0", "superseded")
    breaks("A6", world.crm)
    world.auditor.others_moved_keys = True
    world.crm()


# --- A9: polls


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a world in which few polls are too many."""
    for name, most in (("A_REQUEST", 3), ("BESIDE_A_LOST_REQUEST", 2), ("AN_UNKNOWN_REQUEST", 9)):
        monkeypatch.setattr(judging_sendings, f"POLLS_{'' if name.startswith('B') else 'OF_'}{name}", most)
    monkeypatch.setattr(judging_sendings, "TROUBLED_CALLS", 4)
    return World()


def polls(world: World, number: int, sent: Sent | None = None, trouble: Trouble | None = None) -> None:
    """Let one task poll so often."""
    worker = world.worker("n1.wait.0.1")
    sent = sent or world.send(world.worker("n1.send.0.1"), lead("0.1"))
    for _ in range(number):
        world.poll(worker, sent, trouble)


def test_a_task_that_polls_a_request_too_often_is_found(polled):
    polls(polled, 3)
    polled.sendings()
    polls(polled, 1, polled.wire.sent[0])
    breaks("A9", polled.sendings)


def test_a_request_may_be_polled_more_often_beside_one_that_is_lost_but_not_without_end(polled):
    polled.send(polled.worker("n0.send.0.1"), lead("1.1", "ravi@example.org"), sandbox_fault("silent_loss"))
    polled.later()
    polls(polled, 5)
    polled.sendings()
    polls(polled, 1, polled.wire.sent[1])
    breaks("A9", polled.sendings)


def test_polls_that_met_a_fault_have_a_bound_of_their_own(polled):
    polls(polled, 4, trouble=sandbox_fault("unavailable"))
    polled.sendings()
    polls(polled, 1, polled.wire.sent[0], sandbox_fault("unavailable"))
    breaks("A9", polled.sendings)


# --- A12: nothing is sent again without doubt


def sent_twice(
    world: World, *, receipt_came: bool = True, verdict_came: bool = True, trouble: Trouble | None = None
) -> None:
    """Let two runs send the same row with the same values."""
    for run in ("n1", "n2"):
        worker = world.worker(f"{run}.send.0.1")
        sent = world.send(worker, lead("0.1"), trouble)
        sent.is_receipt_delivered = receipt_came
        worker.ended_at = world.timeline.now
        world.record(worker, "0", "open", sent)
        world.later()
        if verdict_came:
            world.poll(world.worker(f"{run}.wait.0.1"), sent)
        world.later()


def test_a_row_that_is_sent_again_although_its_sending_was_confirmed_is_found():
    world = World()
    sent_twice(world)
    breaks("A12", world.sendings)


def test_a_row_that_is_sent_again_after_its_receipt_was_lost_is_no_finding():
    world = World()
    sent_twice(world, receipt_came=False)
    world.sendings()


def test_a_row_that_is_sent_again_without_a_poll_is_no_finding():
    world = World()
    sent_twice(world, verdict_came=False)
    world.sendings()


def test_a_row_that_is_sent_again_after_polls_that_showed_no_verdict_is_no_finding():
    world = World()
    sent_twice(world, trouble=FLAPS)
    world.sendings()
