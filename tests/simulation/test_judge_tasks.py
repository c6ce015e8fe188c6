"""The judge finds a try that breaks a promise when it ends, and nothing where it keeps them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.call_faults import sandbox_fault
from tests.simulation.events import Event
from tests.simulation.judged_world import FLAPS, World, lead
from tests.simulation.judging_tasks import DEFERRALS
from tests.simulation.test_judge import breaks
from tests.simulation.timeline import Worker

UNKEYED = {"mx_City": "k0.0"}


def instance(run: str = "n1", task: str = "send", **facts: Any) -> Any:
    """Return a task instance whose try has ended."""
    ended = {"run": run, "task": task, "part": 0, "try_number": 1, "clears": 0, "missing_outputs": 0, "deferrals": 0}
    ended["given_at"] = float("inf")
    return SimpleNamespace(**{**ended, **facts})


def ends(world: World, worker: Worker, task: Any, **counts: int) -> Any:
    """Return the judging of a green try with these counts."""
    worker.ended_at = world.timeline.now
    output = {"counts": {"read": sum(counts.values()), **counts}}
    return partial(world.auditor.tasks.judge, task, worker, "success", output)


@pytest.mark.parametrize("trouble", [None, sandbox_fault("odd_status", shapes=("bom",))])
def test_a_request_that_is_open_after_a_poll_was_shown_its_verdict_is_found(trouble):
    world = World()
    sender, sensor = world.worker("n1.send.0.1"), world.worker("n1.wait.0.1")
    sent = world.send(sender, lead("0.1"))
    world.record(sender, "0", "open", sent)
    world.later()
    world.poll(sensor, sent, trouble)
    breaks("A2", ends(world, sensor, instance(task="wait")))


def test_a_request_may_be_open_after_a_poll_that_was_shown_no_verdict():
    world = World()
    sender, sensor = world.worker("n1.send.0.1"), world.worker("n1.wait.0.1")
    sent = world.send(sender, lead("0.1"), FLAPS)
    world.record(sender, "0", "open", sent)
    world.later()
    world.poll(sensor, sent)
    sender.ended_at = None
    ends(world, sensor, instance(task="wait"))()


def test_a_row_that_an_earlier_try_sent_and_the_source_has_no_more_is_part_of_the_counts():
    world = World()
    first = world.worker("n1.send.0.1")
    world.send(first, lead("0.1"))
    first.ended_at = world.timeline.now
    world.warehouse = {1: ("ravi@example.org", None, "1.1")}
    second = world.worker("n1.send.0.2")
    breaks("A10", ends(world, second, instance(try_number=2), unchanged=1))
    ends(world, second, instance(try_number=2), unchanged=1, open=1)()


def test_a_row_that_an_earlier_try_of_a_capture_sent_and_the_list_has_no_more_is_part_of_the_counts():
    world = World()
    first, second = world.worker("k0.send.0.1"), world.worker("k0.send.0.2")
    world.send(first, lead("c0.0"))
    first.ended_at = world.timeline.now
    world.given[second] = {"c0.1"}
    breaks("A10", ends(world, second, instance("k0", try_number=2), open=1))
    ends(world, second, instance("k0", try_number=2), open=2)()


def test_a_full_refresh_that_leaves_a_row_out_is_found():
    world = World()
    world.events.append(Event(0.0, "run", {"run": "n1", "full_refresh": True, "close_after": None}))
    worker = world.worker("n1.send.0.1")
    breaks("A15", ends(world, worker, instance(), unchanged=1))
    ends(world, worker, instance(), superseded=1)()


def test_a_sensor_that_does_not_understand_a_receipt_is_found():
    world = World()
    sensor = world.worker("n1.wait.0.1")
    output = {"counts": {"read": 1, "invalid": 1}}
    judge = partial(world.auditor.tasks.judge, instance(task="wait"), sensor, "failed", output)
    breaks("A10", judge)
    world.events.append(Event(0.0, "call", {"what": "repeated_request_id"}))  # nobody knows whose it is
    judge()


@pytest.mark.parametrize("receipt_came", [True, False])
def test_a_doubt_about_a_row_whose_last_sending_has_a_receipt_is_found(receipt_came):
    world = World()
    worker = world.worker("n1.send.0.1")
    world.send(worker, lead("0.1")).is_receipt_delivered = receipt_came
    worker.ended_at = world.timeline.now
    judge = partial(world.auditor.tasks._check_doubts, instance(), worker, {"in_doubt": 1})
    if receipt_came:
        breaks("A10", judge)
    else:
        judge()


@pytest.mark.parametrize("count", ["in_doubt", "unsent", "rejected", "invalid"])
def test_a_green_try_with_rows_that_are_not_delivered_is_found(count):
    world = World()
    breaks("A7", ends(world, world.worker("n1.wait.0.1"), instance(task="wait"), **{count: 1}))


@pytest.mark.parametrize("receipt_came", [True, False])
def test_a_green_capture_with_a_row_of_which_nobody_knows_whether_it_was_taken_is_found(receipt_came):
    world = World()
    worker = world.worker("k0.send.0.1")
    world.send(worker, UNKEYED).is_receipt_delivered = receipt_came
    judge = ends(world, worker, instance("k0"), open=1)
    if receipt_came:
        judge()
    else:
        breaks("A7", judge)


def test_a_green_sensor_behind_a_task_without_an_output_is_found():
    world = World()
    sensor = world.worker("n1.wait.0.1")
    ends(world, sensor, instance(task="wait"), updated=1)()
    breaks("A7", ends(world, sensor, instance(task="wait", missing_outputs=1), updated=1))


def test_a_sensor_that_is_deferred_again_and_again_is_found():
    world = World()
    world.auditor.tasks.deferred(instance(task="wait", deferrals=DEFERRALS))
    breaks("A9", partial(world.auditor.tasks.deferred, instance(task="wait", deferrals=DEFERRALS + 1)))
