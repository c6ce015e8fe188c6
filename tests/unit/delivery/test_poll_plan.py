"""The poll plan, in virtual time: no outcome is missed for long, no request is asked for without need."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import Learnt, QueueLearnt
from airflow_provider_leadsquared.delivery.poll_plan import UNASKED_AT_MOST, PollPlan
from airflow_provider_leadsquared.delivery.poll_spacing import CLOCK_SET_BACK, QUEUE_WAIT, SHORTEST_WAIT
from airflow_provider_leadsquared.delivery.retry_gates import LAST_ATTEMPT, QUEUED_AT_MOST, TAIL, Gates, Readings
from benchmarks.waiting_model import Result, run_plan
from benchmarks.waiting_worlds import (
    RETRIES,
    Fates,
    World,
    backlog,
    independent,
    interleaved,
    one_that_never_ends,
    shuffled,
)

LADDER = RetryLadder()
ACCEPTED = 1_700_000_000.123
NEVER = math.inf
HOUR = 3_600.0
MANY = 2_000


def plan_of(*accepted: float, ladder: RetryLadder = LADDER, attempted: bool = False, **options) -> PollPlan:
    requests = {
        f"r{number}": OpenRequest(at, attempted_by=at + QUEUE_WAIT if attempted else None)
        for number, at in enumerate(accepted)
    }
    return PollPlan(requests, ladder=ladder, **options)


def poll(plan: PollPlan, now: float, done: Callable[[str], float] = lambda _: NEVER, **answer) -> list[str]:
    """Poll once; a request is done from the time that ``done`` returns. Returns who was asked for."""
    asked = []
    for wave in plan.waves(now):
        assert wave
        asked += wave
        for name in wave:
            plan.answer(name, settled=done(name) <= now, **answer)
    plan.end()
    return asked


def polls_until(plan: PollPlan, now: float, end: float, done: Callable[[str], float] = lambda _: NEVER):
    """Poll when the plan says so; returns the time of each poll and who was asked for."""
    found: list[tuple[float, list[str]]] = []
    while now <= end and plan.open:
        found.append((now, poll(plan, now, done)))
        if plan.open:
            now = plan.next_poll(now)
    return found


def found_at(world: World) -> Result:
    return run_plan(world)


# --- one request --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ladder", [LADDER.as_gaps(), LADDER.as_offsets()], ids=["gaps", "offsets"])
@pytest.mark.parametrize("retry", range(11))
def test_a_request_is_found_soon_after_the_retry_at_which_it_passes(ladder, retry):
    passed = (0.0, *ladder)[retry] + 3.0
    found = run_plan(World([0.0], [passed], [3.0]))
    assert found.mean <= 12.0 + 0.01 * passed


def test_over_the_whole_ladder_there_are_at_most_24_polls():
    assert found_at(World([0.0], [RETRIES[-1] + 3.0], [3.0])).polls <= 24


def test_an_error_that_the_last_retry_leaves_behind_is_asked_for_right_after_the_ladders_end():
    polls = [at for at, _ in polls_until(plan_of(ACCEPTED), ACCEPTED + 8, ACCEPTED + 36_500)]
    assert any(0.0 < at - ACCEPTED - LADDER.longest - QUEUED_AT_MOST - LAST_ATTEMPT <= 15.0 for at in polls)


@pytest.mark.parametrize(("speed", "interval"), [(1, TAIL), (10, TAIL / 10), (100_000, SHORTEST_WAIT)])
def test_past_the_ladder_polls_go_on_at_even_intervals(speed, interval):
    ladder = LADDER.faster(speed)
    plan = plan_of(ACCEPTED, ladder=ladder, speed=speed, attempted=True)
    start = ACCEPTED + ladder.longest + 2_000
    times = [at for at, _ in polls_until(plan, start, start + 20 * interval)]
    assert [later - at for at, later in pairwise(times)][1:] == pytest.approx([interval] * (len(times) - 2), abs=2.0)


@pytest.mark.parametrize("speed", [1, 10, 1_000, 100_000])
def test_polls_are_never_closer_than_the_shortest_wait(speed):
    plan = plan_of(ACCEPTED, ACCEPTED + 3, ACCEPTED + 90, ladder=LADDER.faster(speed), speed=speed)
    polls = polls_until(plan, ACCEPTED, ACCEPTED + 3_000)
    assert min(later - now for (now, _), (later, _) in pairwise(polls)) >= SHORTEST_WAIT


@pytest.mark.parametrize("make", [lambda: RetryLadder.of_seconds([1]), lambda: RetryLadder.of_seconds([5, 5, 5])])
def test_any_ladder_makes_a_plan(make):
    assert 3 <= len(polls_until(plan_of(ACCEPTED, ladder=make()), ACCEPTED + 8, ACCEPTED + 5_000)) <= 40


# --- the first poll -----------------------------------------------------------------------------------------------


def test_requests_accepted_together_are_first_asked_for_when_the_youngest_is_old_enough():
    plan = plan_of(*(ACCEPTED + number / 400 for number in range(2_000)))
    assert plan.next_poll(ACCEPTED + 8) - ACCEPTED == pytest.approx(12.0, abs=1.0)


def test_a_first_poll_does_not_wait_for_the_youngest_if_most_are_old_enough():
    plan = plan_of(*(ACCEPTED + number / 10 for number in range(2_000)))
    assert plan.next_poll(ACCEPTED + 201) == ACCEPTED + 201


def test_a_first_poll_comes_soon_although_all_were_accepted_in_the_future_on_our_clock():
    assert plan_of(ACCEPTED + HOUR).next_poll(ACCEPTED) - ACCEPTED <= 15.0


def test_a_first_poll_leaves_out_those_that_cannot_be_decided_yet():
    plan = plan_of(*(ACCEPTED + number / 10 for number in range(2_000)))
    assert "r1999" not in poll(plan, ACCEPTED + 201, lambda name: ACCEPTED)


# --- a queue that is worked off in order --------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [240, 24.8])
def test_behind_a_backlog_few_calls_and_polls_find_each_verdict_within_a_small_part_of_the_wait(rate):
    found = found_at(backlog(MANY, rate))
    wait = MANY * 30 / rate
    assert (found.left, found.calls <= 1.35, found.polls <= 50, found.mean <= 0.045 * wait) == (0, True, True, True)


def test_the_queue_that_stands_still_is_only_sampled():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    asked = {name for _, names in polls_until(plan, ACCEPTED + 12, ACCEPTED + 3_200) for name in names}
    assert len(asked) <= MANY / 5


def test_after_an_outage_all_are_found_at_the_first_retry_that_passes():
    found = found_at(independent(MANY, 500, Fates(median=5.0, outage=2_700.0)))
    assert (found.left, found.calls <= 1.4, found.mean <= 20.0) == (0, True, True)


def test_a_queue_that_works_backwards_is_followed_from_its_other_end():
    found = found_at(backlog(MANY, 240, order=lambda many: range(many - 1, -1, -1)))
    assert (found.left, found.calls <= 2.5) == (0, True)


def test_those_that_are_ready_at_the_other_end_of_a_queue_are_all_found():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    poll(plan, ACCEPTED + 60, lambda name: ACCEPTED if int(name[1:]) >= MANY - 300 else NEVER)
    assert MANY - 310 <= len(plan.open) <= MANY - 290


def test_in_a_queue_that_stands_still_each_is_asked_for_after_ninety_minutes_at_the_latest():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    polls = polls_until(plan, ACCEPTED + 12, ACCEPTED + UNASKED_AT_MOST + 100.0)
    assert {name for _, names in polls for name in names} == set(plan.open)


def test_requests_of_two_apis_are_two_queues():
    requests = {f"{queue}{n}": OpenRequest(ACCEPTED, queue) for queue in "ab" for n in range(100)}
    plan = PollPlan(requests, ladder=LADDER)
    asked = poll(plan, ACCEPTED + 20, lambda name: ACCEPTED if name.startswith("b") else NEVER)
    assert len([name for name in asked if name.startswith("b")]) == 100
    assert len([name for name in asked if name.startswith("a")]) <= 20


def test_what_another_capture_has_in_the_same_queue_costs_no_calls():
    found = found_at(interleaved(MANY, 240))
    assert (found.left, found.calls <= 1.25) == (0, True)


def test_a_request_of_a_moving_queue_whose_status_shows_a_failed_attempt_waits_for_its_retries():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    poll(plan, ACCEPTED + 60, lambda name: ACCEPTED if int(name[1:]) < 500 else NEVER)
    asked = poll(plan, ACCEPTED + 70, attempted=True)
    assert {plan.open[name].attempted_by for name in asked} == {ACCEPTED + 70}


def test_an_outage_whose_errors_are_shown_costs_no_more_calls_than_one_whose_errors_are_not():
    world = independent(MANY, 500, Fates(median=5.0, outage=2_700.0))
    assert run_plan(world, shows_errors=True).calls == run_plan(world).calls


def test_a_request_that_the_queue_has_passed_waits_for_its_retries():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    poll(plan, ACCEPTED + 12, lambda name: NEVER if name == "r700" else ACCEPTED)
    assert plan.open["r700"].attempted_by is not None


# --- requests that wait for a retry -------------------------------------------------------------------------------


def test_between_two_gates_a_request_is_not_asked_for():
    plan = plan_of(ACCEPTED, attempted=True)
    poll(plan, ACCEPTED + 60)
    assert (poll(plan, ACCEPTED + 100), poll(plan, ACCEPTED + 140)) == ([], ["r0"])


def test_a_group_that_failed_together_is_only_sampled():
    plan = plan_of(*[ACCEPTED] * 1_000, attempted=True)
    poll(plan, ACCEPTED + 60)
    assert len(poll(plan, ACCEPTED + 140)) <= 40


def test_a_request_that_was_left_out_at_one_gate_is_asked_for_at_the_next():
    plan = plan_of(*[ACCEPTED] * 1_000, attempted=True)
    poll(plan, ACCEPTED + 60)
    left_out = set(plan.open) - set(poll(plan, ACCEPTED + 140))
    assert left_out <= set(poll(plan, ACCEPTED + 175))


def test_after_a_gate_at_which_many_pass_all_of_the_group_are_asked_for():
    plan = plan_of(*[ACCEPTED] * 1_000, attempted=True)
    poll(plan, ACCEPTED + 175)
    asked = poll(plan, ACCEPTED + 440, lambda name: ACCEPTED if int(name[1:]) % 2 else NEVER)
    assert len(asked) == 1_000


def test_a_reading_of_the_ladder_that_answers_rule_out_is_not_waited_for():
    times = {
        name: [
            at
            for at, _ in polls_until(plan_of(ACCEPTED, attempted=True, learnt=learnt), ACCEPTED + 18, ACCEPTED + 34_000)
        ]
        for name, learnt in (("one", Learnt(gaps=(10, 50), offsets=(0, 50))), ("both", Learnt()))
    }
    assert len(times["both"]) - len(times["one"]) >= 8


def test_answers_rule_out_the_reading_that_does_not_hold():
    world = independent(MANY, 500, Fates(first=0.5, retry=None))
    plan = PollPlan({str(n): OpenRequest(ACCEPTED + at) for n, at in enumerate(world.accepted)}, ladder=LADDER)
    polls_until(plan, ACCEPTED + 12, ACCEPTED + 40_000, lambda name: ACCEPTED + world.done[int(name)])
    (found, asked), (found_by_others, asked_by_others) = plan.learnt.gaps, plan.learnt.offsets
    assert asked_by_others >= 20
    assert found / asked >= 4 * found_by_others / asked_by_others


def test_one_request_that_never_ends_costs_the_others_nothing():
    world = backlog(MANY, 240)
    both = found_at(world), found_at(one_that_never_ends(world))
    assert both[1].left == 1
    assert both[1].calls - both[0].calls <= 0.05


# --- what holds in every world ------------------------------------------------------------------------------------

ANY_WORLD = st.lists(
    st.tuples(st.floats(0, 300), st.one_of(st.just(0.0), st.sampled_from(RETRIES), st.floats(0, 30_000))),
    min_size=1,
    max_size=60,
).map(
    lambda pairs: World([at for at, _ in pairs], [at + 3.0 + end for at, end in pairs], [at + 3.0 for at, _ in pairs])
)


@settings(deadline=None, max_examples=60)
@given(ANY_WORLD)
def test_nobody_starves(world):
    found = found_at(world)
    longest = max(later - at for at, later in pairwise((0.0, *LADDER.times())))
    assert found.left == 0
    assert found.delays[-1] <= UNASKED_AT_MOST + longest + 600.0


@settings(deadline=None, max_examples=60)
@given(ANY_WORLD)
def test_one_that_was_attempted_is_asked_for_within_one_gate_of_its_end(world):
    plan = plan_of(*(ACCEPTED + at for at in world.accepted), attempted=True)
    asked_at: dict[str, float] = {}
    now = ACCEPTED + 310
    while plan.open and now < ACCEPTED + 40_000:
        # Those of the readings of the ladder that answers have not ruled out.
        retries = Readings(LADDER, gaps=plan.learnt.gaps, offsets=plan.learnt.offsets).retries()
        gates = Gates(retries, last=LADDER.longest)
        for name in poll(plan, now, lambda name: ACCEPTED + world.done[int(name[1:])]):
            asked_at[name] = now
        for name in plan.open:
            base = ACCEPTED + world.accepted[int(name[1:])] + QUEUE_WAIT
            assert gates.passed(now - base) - gates.passed(asked_at.get(name, base) - base) <= 1
        now = plan.next_poll(now) if plan.open else now


@settings(deadline=None, max_examples=40)
@given(ANY_WORLD)
def test_polls_are_bounded_and_time_goes_forward(world):
    course = [at for at, _, _ in found_at(world).course]
    assert all(later - at >= SHORTEST_WAIT - 0.001 for at, later in pairwise(course))
    assert len(course) <= 160


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(100, 400), st.sampled_from(["all", "none", "odd"]))
def test_a_poll_keeps_its_budget_and_asks_nobody_twice(calls_a_second, count, ready):
    done = {
        "all": lambda _: ACCEPTED,
        "none": lambda _: NEVER,
        "odd": lambda name: ACCEPTED if int(name[1:]) % 2 else NEVER,
    }
    plan = plan_of(*[ACCEPTED] * count, attempted=ready == "odd", calls_a_second=calls_a_second)
    first = poll(plan, ACCEPTED + 60, done[ready])
    second = poll(plan, ACCEPTED + 71, done[ready])
    assert (len(first) <= 60 * calls_a_second, len(second) <= 11 * calls_a_second) == (True, True)
    assert (len(set(first)), len(set(second))) == (len(first), len(second))


@settings(deadline=None, max_examples=30)
@given(ANY_WORLD)
def test_a_plan_made_anew_from_the_ledger_at_each_poll_polls_alike(world):
    def done(name: str) -> float:
        return ACCEPTED + world.done[int(name[1:])]

    start = ACCEPTED + 310
    kept = polls_until(plan_of(*(ACCEPTED + at for at in world.accepted)), start, start + 5_000, done)
    plan, now, anew = plan_of(*(ACCEPTED + at for at in world.accepted)), start, []
    while now <= start + 5_000 and plan.open:
        learnt = Learnt.from_json(json.loads(json.dumps(plan.learnt.as_json())))
        plan = PollPlan(plan.open, ladder=LADDER, learnt=learnt)
        anew.append((now, poll(plan, now, done)))
        now = plan.next_poll(now) if plan.open else now
    assert anew == kept


# --- answers ------------------------------------------------------------------------------------------------------


def test_a_settled_request_is_never_asked_for_again():
    plan = plan_of(ACCEPTED, ACCEPTED)
    poll(plan, ACCEPTED + 12, lambda name: ACCEPTED if name == "r0" else NEVER)
    assert {name for _, names in polls_until(plan, ACCEPTED + 42, ACCEPTED + 9_000) for name in names} == {"r1"}


def test_a_request_that_is_not_waited_for_any_more_is_not_asked_for():
    plan = plan_of(ACCEPTED, ACCEPTED)
    plan.settle("r0")
    assert poll(plan, ACCEPTED + 42) == ["r1"]


def test_requests_without_an_answer_are_asked_for_again_in_the_next_poll():
    plan = plan_of(*[ACCEPTED] * 10)
    asked = [name for wave in plan.waves(ACCEPTED + 20) for name in wave]
    plan.end()
    assert set(asked) & set(poll(plan, ACCEPTED + 50))


def test_those_to_ask_for_first_are_asked_for_whatever_the_plan():
    plan = plan_of(ACCEPTED, attempted=True)
    poll(plan, ACCEPTED + 60)
    assert list(plan.waves(ACCEPTED + 61, ["r0"])) == [["r0"]]


def test_with_all_settled_there_is_no_next_poll():
    plan = plan_of(ACCEPTED)
    plan.settle("r0")
    with pytest.raises(ValueError, match="no request is open"):
        plan.next_poll(ACCEPTED)


@pytest.mark.parametrize("found", [None, 5, "x", {"polled_at": 1.0, "more": 2}])
def test_what_is_no_record_of_a_plan_means_that_nothing_is_known(found):
    assert Learnt.from_json(found) == Learnt()


def test_what_a_plan_has_learnt_comes_back_as_it_was_written():
    learnt = Learnt(1.5, 3, (1, 2), (3, 4), (5, 6), {"lead_capture": QueueLearnt(2.0, 1.5)})
    assert Learnt.from_json(json.loads(json.dumps(learnt.as_json()))) == learnt


def test_what_retries_have_found_is_forgotten_in_time():
    learnt = Learnt(retries=(199, 199))
    learnt.count_retry(settled=True)
    assert learnt.retries == (100, 100)


# --- metrics ------------------------------------------------------------------------------------------------------


def standing(pending: float, a_minute: float, longest: float = 0.0, age: float = 30.0) -> tuple[float, list[str]]:
    """Return when a queue of ten that stands still is polled next, given metrics, and who is asked for then."""
    plan = plan_of(*[ACCEPTED] * 10)
    asked = [name for wave in plan.waves(ACCEPTED + age) for name in wave]
    for name in asked:
        plan.answer(name, settled=False)
    plan.note_metrics("", pending, a_minute, longest)
    plan.end()
    return plan.next_poll(ACCEPTED + age) - ACCEPTED, asked


def test_metrics_bring_a_poll_forward_to_when_the_queue_comes_to_us():
    assert standing(210, 60, age=200)[0] == pytest.approx(200 + 200 + 5, abs=1)


def test_metrics_without_a_rate_are_of_use_too():
    assert standing(210, 0.0, longest=210, age=200)[0] == pytest.approx(200 + 200 + 5, abs=1)


def test_metrics_bring_no_poll_nearer_than_a_share_of_the_wait_so_far():
    assert standing(20, 60, age=200)[0] == pytest.approx(200 * 1.6)


@pytest.mark.parametrize("pending", [-5, 0, 10, 11, 1e9, math.inf, math.nan])
@pytest.mark.parametrize("a_minute", [-1.0, 0.0, 1e-9, 60.0, 1e9, math.inf, math.nan])
def test_metrics_that_lie_delay_no_poll_and_cost_few(pending, a_minute):
    without = plan_of(*[ACCEPTED] * 10)
    poll(without, ACCEPTED + 160)
    assert 170.0 <= standing(pending, a_minute, pending, age=160)[0] <= without.next_poll(ACCEPTED + 160) - ACCEPTED


def test_with_metrics_that_always_lie_the_whole_ladder_takes_fewer_polls_than_a_fixed_plan_took():
    plan, now, polls = plan_of(ACCEPTED), ACCEPTED + 8, 0
    while now < ACCEPTED + LADDER.longest:
        for wave in plan.waves(now):
            plan.answer(*wave, settled=False)
        plan.note_metrics("", 2, 60.0)
        plan.end()
        polls += 1
        now = plan.next_poll(now)
    assert polls <= 39


def test_metrics_are_of_use_for_a_queue_that_has_stood_still_for_a_while_and_has_them():
    plan = plan_of(ACCEPTED)
    poll(plan, ACCEPTED + 10)
    early = plan.standing()
    poll(plan, ACCEPTED + 60)
    late = plan.standing()
    plan.note_metrics("", None)
    assert (early, late, plan.standing()) == ([], [""], [])


def test_a_queue_that_moves_needs_no_metrics():
    plan = plan_of(*(ACCEPTED + number / 500 for number in range(MANY)))
    poll(plan, ACCEPTED + 60, lambda name: ACCEPTED if int(name[1:]) < 500 else NEVER)
    assert plan.standing() == []


# --- clocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_by", [-24 * HOUR, -HOUR, -60.0, -1.0, 0.0, HOUR, 24 * HOUR, 1e9])
@pytest.mark.parametrize("age", [6.0, 100.0, 4_000.0, 40_000.0])
def test_a_clock_that_was_set_gives_no_endless_and_no_zero_wait(set_by, age):
    plan = plan_of(ACCEPTED, ACCEPTED + 5, attempted=True)
    poll(plan, ACCEPTED + age)
    now = ACCEPTED + age + set_by
    longest = max(later - retry for retry, later in pairwise(LADDER.times()))
    assert SHORTEST_WAIT <= plan.next_poll(now) - now <= longest + 600


def test_after_a_clock_was_set_back_a_request_is_polled_within_a_minute():
    plan = plan_of(ACCEPTED, attempted=True)
    poll(plan, ACCEPTED + 20)
    now = ACCEPTED - HOUR
    assert (plan.next_poll(now), poll(plan, now)) == (now + CLOCK_SET_BACK, ["r0"])


def test_after_a_clock_was_set_forward_the_request_is_asked_for_at_once():
    plan = plan_of(ACCEPTED, attempted=True)
    poll(plan, ACCEPTED + 20)
    assert poll(plan, ACCEPTED + HOUR) == ["r0"]


def test_requests_accepted_on_clocks_that_differ_by_minutes_are_all_found():
    world = backlog(MANY, 240)
    crooked = World(
        [at + (number % 3) * 60.0 for number, at in enumerate(world.accepted)], world.done, world.first_attempts
    )
    found = found_at(crooked)
    assert (found.left, found.calls <= 6.0) == (0, True)


# --- many captures ----------------------------------------------------------------------------------------------------


def test_a_queue_that_works_in_random_order_costs_few_calls_and_starves_nobody():
    found = found_at(shuffled(MANY, 240))
    assert (found.left, found.calls <= 4.0, found.delays[-1] <= 600.0) == (0, True, True)


def test_the_requests_of_100_captures_that_ran_side_by_side_are_one_queue():
    world = backlog(MANY, 240)
    captures = World(
        [at + 0.3 * (number % 100) for number, at in enumerate(world.accepted)], world.done, world.first_attempts
    )
    found = found_at(captures)
    assert (found.left, found.calls <= 1.4) == (0, True)
