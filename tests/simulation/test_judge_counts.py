"""The judge finds counts that lack or double a row, and nothing where they hold each once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.events import Event
from tests.simulation.judged_world import EMAIL, World, lead
from tests.simulation.test_judge import breaks
from tests.simulation.test_judge_tasks import UNKEYED, ends, instance
from tests.simulation.timeline import Worker


def tries(world: World, run: str, city: str) -> Worker:
    """Let two tries get a receipt of one row, and return a third."""
    for number in (1, 2):
        worker = world.worker(f"{run}.send.0.{number}")
        world.send(worker, lead(city))
        worker.ended_at = world.timeline.now
    world.later(60.0)
    return world.worker(f"{run}.send.0.3")


def test_a_further_receipt_of_a_row_of_a_capture_is_part_of_the_counts():
    world = World()
    third = tries(world, "k0", "c0.0")
    world.given[third] = {"c0.0"}
    breaks("A10", ends(world, third, instance("k0", try_number=3), open=1))
    ends(world, third, instance("k0", try_number=3), open=2)()


def test_a_receipt_of_a_try_that_was_given_up_is_part_of_the_counts_if_it_is_in_a_table():
    world = World()
    third = tries(world, "k0", "c0.0")
    world.given[third] = {"c0.0"}
    world.workers[0].is_given_up = True
    breaks("A10", ends(world, third, instance("k0", try_number=3), open=1))
    world.events.append(Event(0.0, "capture", {"run": "k0", "store": "task state", "on_clear": "resume"}))
    ends(world, third, instance("k0", try_number=3), open=1)()


def test_a_row_that_counts_twice_is_found():
    world = World()
    world.warehouse = {0: (EMAIL, None, "0.1")}
    first = world.worker("n1.send.0.1")
    world.send(first, lead("0.1"))
    first.ended_at = world.timeline.now
    world.later(60.0)
    second = world.worker("n1.send.0.2")
    breaks("A10", ends(world, second, instance(try_number=2), created=1, unchanged=1))
    ends(world, second, instance(try_number=2), created=1)()


def changed(world: World, *, is_certain: bool = True) -> Worker:
    """Let a run read values that a later sending has replaced, and return it."""
    world.warehouse = {0: (EMAIL, None, "0.1")}
    sender = world.worker("n1.send.0.1")
    sent = world.send(sender, lead("0.2"))
    sender.ended_at = world.timeline.now
    world.later()
    if is_certain:
        world.poll(world.worker("n1.wait.0.1"), sent)
    world.later(60.0)
    return world.worker("n0.send.0.2")


def test_a_row_that_counts_as_delivered_though_its_lead_got_other_values_since_is_found():
    world = World()
    breaks("A16", ends(world, changed(world), instance("n0", try_number=2), updated=1))


@pytest.mark.parametrize("state", ["waiting", "superseded", "open"])
def test_a_row_with_other_values_may_wait_or_be_set_aside(state):
    world = World()
    ends(world, changed(world), instance("n0", try_number=2), **{state: 1})()


def test_a_row_with_other_values_is_sent_or_not_known_to_have_others():
    world = World()
    worker = changed(world)
    world.send(worker, lead("0.1"))
    ends(world, worker, instance("n0", try_number=2), open=1)()
    world = World()
    ends(world, changed(world, is_certain=False), instance("n0", try_number=2), updated=1)()


@pytest.mark.parametrize("values", [UNKEYED, lead("k0.0")])
def test_a_doubt_about_values_that_newer_ones_cannot_replace_may_stay(values: dict[str, Any]):
    world = World()
    worker = world.worker("k0.send.0.1")
    world.send(worker, values).is_receipt_delivered = False
    world.send(worker, {**values, "mx_City": "k0.1"})
    worker.ended_at = world.timeline.now
    judge = ends(world, worker, instance("k0"), in_doubt=1).func.__self__._counts._check_doubts
    if "EmailAddress" in values:
        breaks("A10", lambda: judge(instance("k0"), worker, {"in_doubt": 1}))
    else:
        judge(instance("k0"), worker, {"in_doubt": 1})


def doubts_of_one_row(world: World) -> Any:
    """Let a capture of one row, whose receipt came, have a doubt."""
    worker = world.worker("k0.send.0.1")
    world.send(worker, lead("k0.0"))
    worker.ended_at = world.timeline.now
    judge = ends(world, worker, instance("k0"), in_doubt=1).func.__self__._counts._check_doubts
    return lambda: judge(instance("k0"), worker, {"in_doubt": 1})


def test_a_doubt_about_a_row_with_a_receipt_is_found():
    breaks("A10", doubts_of_one_row(World()))


def test_a_row_whose_request_id_another_row_got_too_may_be_in_doubt():
    world = World()
    doubts = doubts_of_one_row(world)
    other = world.send(world.worker("k0.send.1.1"), lead("k1.0"))
    other.id_shown = world.wire.sent[0].id_shown
    doubts()


def test_a_row_whose_second_call_is_still_on_its_way_may_be_in_doubt():
    world = World()
    doubts = doubts_of_one_row(world)
    world.wire.on_their_way["k0.send.0."] += 1
    doubts()


def test_a_row_whose_other_values_went_to_the_lead_of_another_address_is_no_finding():
    world = World()
    world.warehouse = {0: (EMAIL, None, "0.1")}
    sender = world.worker("n1.send.0.1")
    sent = world.send(sender, lead("0.2", "ravi@example.org"))
    sender.ended_at = world.timeline.now
    world.later()
    world.poll(world.worker("n1.wait.0.1"), sent)
    world.later(60.0)
    ends(world, world.worker("n0.send.0.2"), instance("n0", try_number=2), unchanged=1)()
