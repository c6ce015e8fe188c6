"""The judge finds a result table that breaks a promise, and nothing where it keeps them."""

from __future__ import annotations

import pytest

from tests.simulation.events import Event
from tests.simulation.judged_world import World, lead
from tests.simulation.judging_table import WAITING_NIGHTS
from tests.simulation.test_judge import breaks


def test_two_lines_with_one_request_id_are_found():
    world = World()
    worker = world.worker("n1.send.0.1")
    sent = world.send(worker, lead("0.1"))
    world.record(worker, "0", "open", sent)
    world.table()
    world.record(worker, "1", "open", sent, attempts=0)
    breaks("A2", world.table)


def test_a_row_with_two_lines_is_found_unless_they_are_of_its_receipts():
    world = World()
    worker = world.worker("n1.send.0.1")
    for _ in range(2):
        world.record(worker, "0", "open", world.send(worker, lead("0.1")))
    world.record(worker, "0", "in_doubt", attempts=3)
    world.table()
    world.record(worker, "0", "unsent", attempts=0)
    breaks("A10", world.table)


@pytest.mark.parametrize("run", ["n1", "k0"])
def test_a_sending_that_no_line_counts_is_found_whatever_try_made_it(run):
    world = World()
    city = "0.1" if run == "n1" else "c0.0"
    for number in (1, 2):
        worker = world.worker(f"{run}.send.0.{number}")
        sent = world.send(worker, lead(city))
        worker.ended_at = world.timeline.now
    world.record(worker, city if run == "k0" else "0", "open", sent, attempts=2)
    world.table()
    world.ledger.query("UPDATE leadsquared_ledger SET attempts = 1")
    breaks("A13", world.table)


def doubted(world: World, *, attempts: int = 1) -> None:
    """Let a row be in doubt of which a late receipt has a line."""
    worker = world.worker("k0.send.0.1")
    world.record(worker, "c0.0", "in_doubt", attempts=attempts)
    world.record(worker, "c0.0", "open", world.send(worker, lead("c0.0")))


def test_a_doubt_that_a_late_receipt_has_answered_is_found():
    world = World()
    doubted(world)
    breaks("A10", world.table)


def test_a_doubt_about_a_later_sending_is_none_that_a_late_receipt_has_answered():
    world = World()
    doubted(world, attempts=2)
    world.table()


def test_a_doubt_about_other_values_is_none_that_a_late_receipt_has_answered():
    world = World()
    worker = world.worker("k0.send.0.1")
    world.record(worker, "c0.0", "in_doubt", fingerprint="other")
    world.record(worker, "c0.0", "open", world.send(worker, lead("c0.0")))
    world.table()


@pytest.mark.parametrize("reason", [set(), {"queue"}])
def test_a_row_that_waits_night_after_night_for_others_is_found(reason):
    world = World()
    world.plan.parts = reason
    for night in range(WAITING_NIGHTS + 1):
        world.events.append(Event(float(night), "run", {"run": f"n{night}a", "parts": 1}))
        world.record(world.worker(f"n{night}a.send.0.1"), "1", "waiting", attempts=0, fingerprint="")
    if reason:
        world.table()
    else:
        breaks("A19", world.table)


def test_a_row_that_is_sent_in_between_waits_for_few_nights():
    world = World()
    for night in range(WAITING_NIGHTS + 3):
        world.events.append(Event(float(night), "run", {"run": f"n{night}a", "parts": 1}))
        if night != 2:
            world.record(world.worker(f"n{night}a.send.0.1"), "1", "waiting", attempts=0, fingerprint="")
    world.table()
