"""The judge finds a try that breaks a promise when it ends, and nothing where it keeps them."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.call_faults import sandbox_fault
from tests.simulation.events import Event
from tests.simulation.judged_world import EMAIL, FLAPS, World, lead
from tests.simulation.judging_tasks import DEFERRALS
from tests.simulation.test_judge import breaks
from tests.simulation.timeline import Worker

UNKEYED = {"mx_City": "k0.0"}
ROW: dict[int, tuple[str | None, str | None, str]] = {0: (EMAIL, None, "0.1")}


def instance(run: str = "n1", task: str = "send", **facts: Any) -> Any:
    """Return a task instance whose try has ended."""
    ended = {"run": run, "task": task, "part": 0, "try_number": 1, "clears": 0, "missing_outputs": 0, "deferrals": 0}
    ended |= {"given_at": float("inf"), "cleared_at": 0.0}
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
    world.warehouse = ROW
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
    judge = partial(world.auditor.tasks._counts._check_doubts, instance(), worker, {"in_doubt": 1})
    if receipt_came:
        breaks("A10", judge)
    else:
        judge()


@pytest.mark.parametrize("count", ["in_doubt", "unsent", "rejected", "invalid"])
def test_a_green_try_with_rows_that_are_not_delivered_is_found(count):
    world = World()
    world.warehouse = ROW
    breaks("A7", ends(world, world.worker("n1.send.0.1"), instance(), **{count: 1}))


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


@pytest.mark.parametrize("receipt_came", [True, False])
def test_a_green_sync_with_a_row_whose_receipt_never_came_is_found(receipt_came):
    world = World()
    world.warehouse = ROW
    worker = world.worker("n1.send.0.1")
    world.send(worker, lead("0.1")).is_receipt_delivered = False
    if receipt_came:
        world.send(worker, lead("0.1"))
    judge = ends(world, worker, instance(), open=1)
    if receipt_came:
        judge()
    else:
        breaks("A7", judge)


def repeated(world: World, runs: tuple[str, str], *, is_first: bool = False) -> Worker:
    """Let a row of a task get the RequestId of another one's, and return its worker."""
    for run in dict.fromkeys(runs):
        world.events.append(Event(0.0, "capture", {"run": run, "store": "task state", "on_clear": "resume"}))
    owner, second = (world.worker(f"{run}.send.0.1") for run in runs)
    own = world.send(owner, lead("c0.0"))
    sent = world.send(second, lead("c1.0", "ravi@example.org"), sandbox_fault("repeated_request_id"))
    sent.is_receipt_delivered = False
    sent.id_shown = own.request and own.request.id_as_sent
    sent.answered_at = own.answered_at + (-1.0 if is_first else 1.0)
    return second


def test_a_green_capture_with_a_row_that_got_the_request_id_of_another_one_is_found():
    world = World()
    breaks("A7", ends(world, repeated(world, ("k1", "k1")), instance("k1"), open=1))


def test_a_capture_cannot_know_request_ids_of_others_or_which_of_its_rows_has_one_that_comes_again():
    world = World()
    ends(world, repeated(world, ("k0", "k1")), instance("k1"), open=1)()
    world = World()
    ends(world, repeated(world, ("k1", "k1"), is_first=True), instance("k1"), open=1)()


def test_a_capture_cannot_know_that_its_request_id_is_one_that_its_owner_has_not_received_yet():
    world = World()
    second = repeated(world, ("k1", "k1"))
    owner = world.wire.sent[0]
    owner.is_receipt_delivered, owner.answered_at = False, math.inf
    owner.worker.is_given_up = True
    ends(world, second, instance("k1"), open=1)()


def test_a_green_sensor_that_took_one_verdict_for_two_rows_is_found():
    world = World()
    repeated(world, ("k1", "k1"))
    sensor, sender = world.worker("k1.wait.0.1"), instance("k1", state="success")
    world.instances.append(sender)
    breaks("A7", ends(world, sensor, instance("k1", task="wait"), created=2))
    sender.state = "failed"
    ends(world, sensor, instance("k1", task="wait"), created=2)()


def test_what_a_capture_sent_before_it_started_over_makes_no_sensor_red():
    world = World()
    world.events.append(Event(0.0, "capture", {"run": "k1", "store": "sql", "on_clear": "resend"}))
    sender = world.worker("k1.send.0.1")
    world.send(sender, lead("c1.0"), sandbox_fault("reject"))
    sender.ended_at = world.timeline.now
    world.later()
    judge = ends(world, world.worker("k1.wait.0.1"), instance("k1", task="wait"), created=1)
    breaks("A7", judge)
    world.instances.append(instance("k1", state="success", cleared_at=world.timeline.now, clears=1))
    judge()


def test_a_verdict_that_has_no_line_after_a_loss_is_found():
    world = World()
    sender, sensor = world.worker("k1.send.0.1"), world.worker("k1.wait.0.1")
    sent = world.send(sender, lead("c1.0"))
    sender.ended_at = None
    world.later()
    world.poll(sensor, sent)
    judge = ends(world, sensor, instance("k1", task="wait"))
    breaks("A2", judge)
    world.record(sensor, "c1.0", "created", sent)
    judge()


def lost_early(world: World, hours: float, *, is_path_shown: bool) -> Any:
    """Return the judging of a sensor that called a request lost after some hours in which nobody knew it."""
    sender, sensor = world.worker("n1.send.0.1"), world.worker("n1.wait.0.1")
    sent = world.send(sender, lead("0.1"))
    other = world.send(sender, lead("1.1", "ravi@example.org"))
    world.record(sender, "0", "failed", sent)
    world.later(hours * 3_600.0)
    if is_path_shown:
        world.poll(sensor, other)
    sender.ended_at = None
    return ends(world, sensor, instance(task="wait"))


def test_a_request_that_is_called_lost_too_early_or_without_proof_is_found():
    breaks("A2", lost_early(World(), 2.0, is_path_shown=True))
    breaks("A2", lost_early(World(), 4.0, is_path_shown=False))


def test_a_request_may_be_called_lost_after_hours_in_which_others_were_found():
    lost_early(World(), 4.0, is_path_shown=True)()


def test_a_request_may_be_called_lost_by_leadsquareds_own_word_after_its_last_retry():
    lost_early(World(unknown_request="200"), 10.0, is_path_shown=False)()
    breaks("A2", lost_early(World(unknown_request="404"), 10.0, is_path_shown=False))


class ServerError(Exception):
    """Trouble on the way, named as the package names it."""


class LeadsStillOpen(Exception):
    """The end of a sensor's time, named as the package names it."""


def test_a_sensor_that_ends_with_trouble_on_the_way_is_found():
    world = World()
    breaks("A18", partial(world.auditor.tasks.check_error, instance(task="wait"), ServerError("HTTP 500")))
    world.auditor.tasks.check_error(instance(), ServerError("HTTP 500"))


@pytest.mark.parametrize(("hours", "date_header"), [(9.5, "sandbox"), (9.5, "missing"), (10.5, "sandbox")])
def test_a_sensor_that_gives_up_before_its_time_is_found(hours, date_header):
    world = World(date_header=date_header)
    sender = world.worker("n1.send.0.1")
    world.record(sender, "0", "open", world.send(sender, lead("0.1")))
    world.later(hours * 3_600.0)
    judge = partial(world.auditor.tasks.check_error, instance(task="wait"), LeadsStillOpen("still open"))
    if hours < 10 and date_header == "sandbox":
        breaks("A18", judge)
    else:
        judge()
