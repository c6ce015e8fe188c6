"""The judge finds a promise that is broken, and nothing where it was kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.call_faults import sandbox_fault
from tests.simulation.events import Event
from tests.simulation.judged_world import EMAIL, FLAPS, HOUR, PHONE, World, lead
from tests.simulation.ledger import LOCK_SECONDS, WorkerConnection
from tests.simulation.timeline import Violation, Worker


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


@pytest.mark.parametrize("starts_over", [True, False])
def test_what_a_capture_had_sent_before_it_was_to_send_all_again_may_stay_open(starts_over):
    world = World()
    worker = world.worker("k0.send.0.1")
    world.record(worker, "0", "open", world.send(worker, lead("c0.0")))
    again = world.send(worker, lead("c0.0"))
    world.later()
    assert again.request is not None
    world.poll(worker, again)
    world.record(worker, "0", "updated", again, lead_id=again.request.lead_id, generation=int(starts_over))
    if starts_over:
        world.verdicts()
    else:
        breaks("A2", world.verdicts)


@pytest.mark.parametrize("shape", ["200", "404"])
def test_a_request_that_leadsquared_itself_does_not_know_may_not_stay_open(shape):
    world = World(unknown_request=shape)
    worker = world.worker("n1.send.0.1")
    sent = world.send(worker, lead("0.1"), sandbox_fault("silent_loss", status="unknown"))
    world.record(worker, "0", "open", sent)
    world.later(50 * HOUR)
    world.poll(worker, sent)
    if shape == "200":
        breaks("A2", world.verdicts)
    else:  # an error may be another server's
        world.verdicts()


@pytest.mark.parametrize("store", ["sql", "task state"])
def test_a_receipt_of_a_capture_is_in_its_tables_if_it_has_some(store):
    world = World()
    world.events.append(Event(0.0, "capture", {"run": "k0", "store": store}))
    world.send(world.worker("k0.send.0.1"), lead("k0.0"))
    if store == "sql":
        breaks("A1", world.verdicts)
    else:
        world.verdicts()


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


@pytest.mark.parametrize("is_red", [True, False])
def test_a_row_whose_submission_leadsquared_refused_is_no_finding_if_it_is_red(is_red):
    world = World()
    worker = world.worker("n1.send.0.1")
    world.send(worker, lead("0.1"), sandbox_fault("error", http=400))
    world.warehouse = {0: (EMAIL, None, "0.1")}
    if not is_red:
        breaks("A6", world.crm)
        return
    world.record(worker, "0", "rejected")
    world.crm()


# --- A16: changed values go


@pytest.mark.parametrize("parts", [1, 2])
def test_changed_values_of_a_row_whose_lead_another_instance_writes_are_sent(parts):
    world = World()
    world.events.append(Event(0.0, "run", {"parts": parts}))
    world.send(world.worker("n1.send.0.1"), lead("0.1"))
    world.later()
    world.warehouse = {0: (EMAIL, None, "0.1"), 1: (EMAIL, None, "1.2")}
    if parts == 2:
        breaks("A16", world.crm)
    else:  # the other row is the newest of the person
        world.crm()
