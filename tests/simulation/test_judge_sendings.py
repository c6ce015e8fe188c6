"""The judge finds sendings and polls that break a promise, and nothing where it was kept."""

from __future__ import annotations

import pytest

from tests.simulation import judging_sendings
from tests.simulation.call_faults import Trouble, sandbox_fault
from tests.simulation.events import Event
from tests.simulation.judged_world import EMAIL, FLAPS, HOUR, PHONE, World, lead
from tests.simulation.test_judge import breaks
from tests.simulation.wire import Sent

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
    world: World,
    *,
    receipt_came: bool = True,
    verdict_came: bool = True,
    is_given_up: bool = False,
    seconds: float = HOUR,
    trouble: Trouble | None = None,
    lost: dict[str, str] | None = None,
) -> None:
    """Let two runs send the same row with the same values."""
    for run in ("n1", "n2"):
        worker = world.worker(f"{run}.send.0.1")
        sent = world.send(worker, lead("0.1"), trouble)
        sent.is_receipt_delivered = receipt_came
        worker.ended_at = world.timeline.now
        world.record(worker, "0", "open", sent)
        world.later(seconds)
        if verdict_came:
            sensor = world.worker(f"{run}.wait.0.1")
            sensor.is_given_up = is_given_up
            world.poll(sensor, sent)
        world.later()
        if lost is not None:
            world.lose(worker, lost)


def test_a_row_that_is_sent_again_although_its_sending_was_confirmed_is_found():
    world = World()
    sent_twice(world)
    breaks("A12", world.sendings)


def test_a_row_that_is_sent_again_after_its_receipt_was_lost_is_no_finding():
    world = World()
    sent_twice(world, receipt_came=False)
    world.sendings()


def test_a_row_that_is_sent_again_after_others_made_a_lead_is_no_finding():
    world = World()
    sent_twice(world)
    world.auditor.others_made_leads = True
    world.sendings()


def test_a_row_that_is_sent_again_without_a_poll_is_no_finding():
    world = World()
    sent_twice(world, verdict_came=False)
    world.sendings()


def test_a_row_that_is_sent_again_after_polls_that_showed_no_verdict_is_no_finding():
    world = World()
    sent_twice(world, trouble=FLAPS)
    world.sendings()


def test_a_row_that_is_sent_again_after_a_poll_of_a_worker_that_was_given_up_is_no_finding():
    world = World()
    sent_twice(world, is_given_up=True)
    world.sendings()


def test_a_row_that_is_sent_again_after_a_verdict_that_nobody_waited_for_any_more_is_no_finding():
    world = World()
    sent_twice(world, seconds=11 * HOUR)
    world.sendings()


def test_a_row_that_got_its_former_values_back_after_others_were_lost_on_their_way_is_no_finding():
    world = World()
    sent_twice(world, lost=lead("0.2"))
    world.sendings()


def test_a_row_that_got_its_former_values_back_while_a_run_with_others_was_paused_is_no_finding():
    world = World()
    world.warehouse = {0: (EMAIL, None, "0.2")}
    world.worker("n0.send.0.1")  # has read other values, and does not end
    world.later()
    sent_twice(world)
    world.sendings()


@pytest.mark.parametrize("is_late", [True, False])
def test_a_row_that_another_run_sends_at_the_same_time_is_found(is_late):
    world = World()
    first, second = world.worker("n1.send.0.1"), world.worker("n2.send.0.1")
    world.send(first, lead("0.1"), Trouble("late") if is_late else None)
    world.timeline.run(world.timeline.now + 5.0)
    world.send(second, lead("0.1"))
    breaks("A12", world.sendings)


def test_a_row_whose_worker_was_paused_may_be_sent_by_another_run():
    world = World()
    first, second = world.worker("n1.send.0.1"), world.worker("n2.send.0.1")
    world.send(first, lead("0.1"))
    first.was_paused = True
    world.timeline.run(world.timeline.now + 5.0)
    world.send(second, lead("0.1"))
    world.sendings()


def test_other_parameters_are_another_sending():
    world = World()
    sent_twice(world)
    world.wire.sent[0].parameters = {"leadupdatebehavior": "DoNotUpdate"}
    world.sendings()


# --- A14: a row waits for what is open at its lead


def two_rows_of_a_lead(world: World, *, is_known: bool, spelled: str = PHONE) -> None:
    """Let the second of two rows that reach one lead by different match keys be sent while the first is open."""

    def send(run: str, lead: dict[str, str]) -> Sent:
        worker = world.worker(f"{run}.send.0.1")
        sent = world.send(worker, lead)
        world.record(worker, lead["mx_City"].partition(".")[0], "open", sent)
        worker.ended_at = world.timeline.now
        return sent

    first = [lead("0.1", EMAIL, PHONE), lead("0.1", EMAIL), lead("1.1", None, PHONE)]
    for number, one in enumerate(first if is_known else first[:2]):
        sent = send(f"n{number}", one)
        world.later()
        world.poll(world.worker(f"n{number}.wait.0.1"), sent)
        world.later(60.0)
    send("n8", lead("0.2", EMAIL))
    world.timeline.run(world.timeline.now + 0.5)
    send("n9", lead("1.2", None, spelled))
    world.later()


def test_a_row_that_is_sent_while_another_one_of_its_lead_is_open_is_found():
    world = World()
    two_rows_of_a_lead(world, is_known=True)
    breaks("A14", world.sendings)


def test_a_row_whose_lead_nobody_knows_may_be_sent_while_another_one_is_open():
    world = World()
    two_rows_of_a_lead(world, is_known=False)
    world.sendings()


def test_a_row_whose_phone_is_spelled_otherwise_may_be_sent_while_another_one_of_its_lead_is_open():
    world = World()
    two_rows_of_a_lead(world, is_known=True, spelled=PHONE.replace("-", " "))
    world.sendings()


# --- A17: the last row of a person


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_row_that_is_sent_before_a_later_row_of_its_person_is_found_unless_that_was_refused(is_refused):
    world = World()
    world.warehouse = {0: (EMAIL, None, "0.1"), 1: (EMAIL, None, "1.1")}
    worker = world.worker("n1.send.0.1")
    if is_refused:
        world.send(worker, lead("1.1"), sandbox_fault("reject"))
        world.later()
    world.send(worker, lead("0.1"))
    if is_refused:
        world.sendings()
    else:
        breaks("A17", world.sendings)


# --- A12: refusals, and runs that send all


def refused_twice(world: World, between: dict[str, str] | None = None) -> None:
    """Let a row that LeadSquared has rejected be sent again with the same values."""
    for run in ("n1", "n2"):
        worker = world.worker(f"{run}.send.0.1")
        sent = world.send(worker, lead("0.1"), sandbox_fault("reject"))
        worker.ended_at = world.timeline.now
        world.later()
        world.poll(world.worker(f"{run}.wait.0.1"), sent)
        world.later()
        if between is not None:
            other = world.worker(f"{run}b.send.0.1")
            sent = world.send(other, between)
            other.ended_at = world.timeline.now
            world.later()
            world.poll(world.worker(f"{run}b.wait.0.1"), sent)
            world.later()


def test_a_row_that_is_sent_again_although_it_was_refused_is_found():
    world = World()
    refused_twice(world)
    breaks("A12", world.sendings)


def test_refused_values_may_be_sent_once_more_for_another_row_key_that_has_them_too():
    world = World()
    world.warehouse = {0: (EMAIL, None, "0.1"), 5: (EMAIL, None, "0.1")}
    refused_twice(world)
    world.sendings()


@pytest.mark.parametrize("part", ["replay", "refresh"])
def test_a_refused_row_may_be_sent_again_where_all_are(part):
    world = World()
    world.plan.parts = {part}
    refused_twice(world)
    world.sendings()


def test_a_refused_row_may_be_sent_again_after_its_lead_has_changed():
    world = World()
    refused_twice(world, between=lead("1.1"))
    world.sendings()


@pytest.mark.parametrize("runs", [("n1", "n1"), ("n1", "n2")])
def test_a_full_refresh_sends_what_others_have_delivered_but_nothing_twice(runs):
    world = World()
    for number, run in enumerate(runs):
        world.events.append(Event(0.0, "run", {"run": run, "full_refresh": True}))
        worker = world.worker(f"{run}.send.0.{number}")
        sent = world.send(worker, lead("0.1"))
        worker.ended_at = world.timeline.now
        world.later()
        world.poll(world.worker(f"{run}.wait.0.1"), sent)
        world.later()
    if runs[0] == runs[1]:
        breaks("A12", world.sendings)
    else:
        world.sendings()
