"""The poll plan, in virtual time: no outcome is missed for long, no request is polled without need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.poll_plan import ATTEMPT_TIME, QUEUE_WAIT, SHORTEST_WAIT, TAIL, PollPlan

LADDER = RetryLadder()
ACCEPTED = 1_700_000_000.123
#: Polls of one request from its acceptance to the end of the ladder: one after the first attempt, and two after each of
#: the 19 retries of both readings.
POLLS_OF_ONE = 39

ATTEMPTS = [
    (reading, retry, at)
    for reading, moments in (("gaps", LADDER.as_gaps()), ("offsets", LADDER.as_offsets()))
    for retry, at in enumerate((0.0, *moments))
]


def _polls(plan: PollPlan, now: float) -> Iterator[tuple[float, list[str]]]:
    """Poll whenever the plan says so, without end."""
    while True:
        due = plan.due(now)
        yield now, due
        plan.polled(now)
        now = plan.next_poll(now)


def _polls_until(plan: PollPlan, start: float, end: float) -> list[tuple[float, list[str]]]:
    found: list[tuple[float, list[str]]] = []
    for now, due in _polls(plan, start):
        if now > end:
            return found
        found.append((now, due))
    return found


def _plan(*accepted: float, ladder: RetryLadder = LADDER, **options: float) -> PollPlan:
    return PollPlan({f"r{number}": at for number, at in enumerate(accepted)}, ladder=ladder, **options)


def _second_poll_after(retry: float) -> float:
    """Return how long after a retry its second poll comes: a tenth of the way to the next retry, 10 to 300 s."""
    retries = LADDER.times()
    following = next((later for later in retries if later > retry), retries[-1] * 1.2)
    return ATTEMPT_TIME + min(max((following - retry) / 10, 10.0), 300.0)


# --- one request --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reading", "retry", "at"), ATTEMPTS, ids=[f"{a[0]}-{a[1]}" for a in ATTEMPTS])
@pytest.mark.parametrize("took", [0.0, 1.9, 11.9])
def test_a_request_that_passes_at_a_retry_is_seen_by_the_second_poll_after_that_retry(reading, retry, at, took):
    passed = ACCEPTED + at + took
    seen = next(now for now, due in _polls(_plan(ACCEPTED), ACCEPTED + 1) if "r0" in due and now >= passed)
    latest = _second_poll_after(at) if at else LADDER.times()[0] + ATTEMPT_TIME
    assert seen - (ACCEPTED + at) <= latest + 0.01


@pytest.mark.parametrize("at", [attempt[2] for attempt in ATTEMPTS if attempt[1]])
def test_a_request_that_passes_in_time_is_seen_two_seconds_after_its_retry(at):
    passed = ACCEPTED + at + 1
    seen = next(now for now, _ in _polls(_plan(ACCEPTED), ACCEPTED + 1) if now >= passed)
    assert seen == pytest.approx(ACCEPTED + at + ATTEMPT_TIME, abs=0.01)


def test_the_first_poll_comes_after_the_wait_in_the_queue():
    plan = _plan(ACCEPTED)
    assert (plan.due(ACCEPTED + QUEUE_WAIT - 0.1), plan.due(ACCEPTED + QUEUE_WAIT + 0.1)) == ([], ["r0"])


@pytest.mark.parametrize("fraction", [0.0, 0.123, 0.7391])
@pytest.mark.parametrize("speed", [1, 7, 1000])
def test_there_are_no_more_polls_than_this_over_the_whole_ladder(fraction, speed):
    start, ladder = 1_763_765_646 + fraction, LADDER.faster(speed)
    polls = _polls_until(_plan(start, ladder=ladder, speed=speed), start + QUEUE_WAIT, start + ladder.longest + 1_000)
    within = [now for now, due in polls if due and now <= start + ladder.longest + 400]
    assert len(within) <= POLLS_OF_ONE + 400 / max(TAIL / speed, SHORTEST_WAIT)


def test_over_the_documented_ladder_there_are_39_polls():
    polls = _polls_until(_plan(ACCEPTED), ACCEPTED + QUEUE_WAIT, ACCEPTED + LADDER.longest + 400)
    assert len(polls) == POLLS_OF_ONE


@pytest.mark.parametrize("speed", [1, 10, 1_000, 100_000])
def test_polls_are_never_closer_than_the_shortest_wait(speed):
    plan = _plan(ACCEPTED, ACCEPTED + 3, ACCEPTED + 90, ladder=LADDER.faster(speed), speed=speed)
    polls = _polls_until(plan, ACCEPTED, ACCEPTED + 3_000)
    assert min(later - now for (now, _), (later, _) in pairwise(polls)) >= SHORTEST_WAIT


def test_each_poll_of_one_request_finds_it_due():
    polls = _polls_until(_plan(ACCEPTED), ACCEPTED + QUEUE_WAIT, ACCEPTED + 50_000)
    assert [now for now, due in polls if due != ["r0"]] == []


@pytest.mark.parametrize(("speed", "interval"), [(1, 900), (10, 90), (100, 10), (100_000, 10)])
def test_past_the_ladder_polls_go_on_at_even_intervals(speed, interval):
    ladder = LADDER.faster(speed)
    start = ACCEPTED + ladder.longest + 2_000
    polls = [now for now, _ in _polls_until(_plan(ACCEPTED, ladder=ladder, speed=speed), start, start + 20 * interval)]
    assert [later - now for now, later in pairwise(polls)][1:] == pytest.approx([interval] * (len(polls) - 2), abs=0.01)


# --- due, polled, settle ------------------------------------------------------------------------------------------


def test_a_request_that_was_polled_is_not_due_until_its_next_time():
    plan = _plan(ACCEPTED)
    plan.polled(ACCEPTED + 33)
    assert (plan.due(ACCEPTED + 41), plan.due(ACCEPTED + 43)) == ([], ["r0"])


def test_a_request_stays_due_as_long_as_no_poll_is_recorded():
    plan = _plan(ACCEPTED)
    assert plan.due(ACCEPTED + 33) == plan.due(ACCEPTED + 41) == ["r0"]


def test_a_time_that_passed_without_a_poll_is_due():
    plan = _plan(ACCEPTED, polled_at=ACCEPTED + 33)
    assert plan.due(ACCEPTED + 30_000) == ["r0"]


def test_a_request_accepted_after_the_last_poll_becomes_due():
    plan = _plan(ACCEPTED, ACCEPTED + 100, polled_at=ACCEPTED + 50)
    assert plan.due(ACCEPTED + 106) == ["r1"]


@pytest.mark.parametrize("early", [0.0, 0.0005])
def test_a_poll_that_comes_a_little_early_counts_for_its_time(early):
    plan = _plan(ACCEPTED, polled_at=ACCEPTED + 33)
    now = ACCEPTED + 42 - early
    assert (plan.due(now), plan.next_poll(now)) == (["r0"], pytest.approx(ACCEPTED + 122))


def test_a_settled_request_is_never_polled_again():
    plan = _plan(ACCEPTED, ACCEPTED)
    plan.settle("r0")
    assert (plan.open, plan.due(ACCEPTED + 33)) == (("r1",), ["r1"])


def test_with_all_settled_there_is_no_next_poll():
    plan = _plan(ACCEPTED)
    plan.settle("r0")
    with pytest.raises(ValueError, match="no request is open"):
        plan.next_poll(ACCEPTED)


def test_a_plan_does_not_change_what_it_was_given():
    accepted = {"r0": ACCEPTED}
    PollPlan(accepted, ladder=LADDER).settle("r0")
    assert accepted == {"r0": ACCEPTED}


def test_asking_what_is_due_or_when_changes_nothing():
    plan = _plan(ACCEPTED, ACCEPTED + 5)
    asked = [(plan.due(ACCEPTED + 33), plan.next_poll(ACCEPTED + 33)) for _ in range(3)]
    assert asked[0] == asked[1] == asked[2]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 600), min_size=1, max_size=5), st.sampled_from([1, 7, 50]))
def test_a_plan_made_anew_at_each_poll_has_the_same_polls(offsets, speed):
    accepted, ladder = {str(i): ACCEPTED + at for i, at in enumerate(offsets)}, LADDER.faster(speed)
    start = ACCEPTED + 600
    kept = _polls_until(PollPlan(accepted, ladder=ladder, speed=speed), start, start + 2_000)
    now, polled_at, anew = start, None, []
    while now <= start + 2_000:
        plan = PollPlan(accepted, ladder=ladder, speed=speed, polled_at=polled_at)
        anew.append((now, plan.due(now)))
        polled_at, now = now, plan.next_poll(now)
    assert anew == kept


# --- many requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spread", "most"), [(10, 50), (60, 90), (600, 280)])
def test_polls_of_requests_spread_over_minutes_are_merged(spread, most):
    accepted = [ACCEPTED + spread * number / 300 for number in range(300)]
    polls = _polls_until(_plan(*accepted), ACCEPTED + spread, ACCEPTED + LADDER.longest + 1_000)
    assert len(polls) <= most


def test_merging_polls_no_request_more_often():
    polls = _polls_until(
        _plan(*(ACCEPTED + number / 2 for number in range(600))), ACCEPTED + 300, ACCEPTED + LADDER.longest + 700
    )
    assert sum(len(due) for _, due in polls) <= 600 * POLLS_OF_ONE


@pytest.mark.parametrize("spread", [10, 300])
def test_no_request_waits_much_longer_for_being_one_of_many(spread):
    accepted = {f"r{number}": ACCEPTED + spread * number / 50 for number in range(51)}
    plan = PollPlan(accepted, ladder=LADDER)
    seen: dict[tuple[str, float], float] = {}
    for now, due in _polls_until(plan, ACCEPTED + spread, ACCEPTED + spread + LADDER.longest):
        for name in due:
            for retry in LADDER.times():
                if accepted[name] + retry + ATTEMPT_TIME <= now:
                    seen.setdefault((name, retry), now - accepted[name] - retry)
    late = {
        of: waited
        for of, waited in seen.items()
        if of[1] > spread and waited > _second_poll_after(of[1]) + min(0.02 * of[1], 60) + SHORTEST_WAIT
    }
    assert late == {}


# --- clocks -------------------------------------------------------------------------------------------------------

HOUR = 3_600.0


@pytest.mark.parametrize("set_by", [-24 * HOUR, -HOUR, -60.0, -1.0, 0.0, HOUR, 24 * HOUR, 1e9])
@pytest.mark.parametrize("age", [6.0, 100.0, 4_000.0, 40_000.0])
def test_a_clock_that_was_set_gives_no_endless_and_no_zero_wait(set_by, age):
    plan = _plan(ACCEPTED, ACCEPTED + 5)
    plan.polled(ACCEPTED + age)
    now = ACCEPTED + age + set_by
    longest = max(later - retry for retry, later in pairwise(LADDER.times()))
    assert SHORTEST_WAIT <= plan.next_poll(now) - now <= longest


def test_after_a_clock_was_set_back_a_request_is_polled_within_a_minute():
    plan = _plan(ACCEPTED, polled_at=ACCEPTED + 10)
    now = ACCEPTED - HOUR
    assert (plan.due(now), plan.next_poll(now)) == (["r0"], now + 60)


def test_after_a_clock_was_set_back_behind_the_last_poll_polls_go_on():
    plan = _plan(ACCEPTED, polled_at=ACCEPTED + 5_000)
    now = ACCEPTED + 1_400
    plan.polled(now)
    following = plan.next_poll(now)
    assert (plan.due(following), following < ACCEPTED + 1_500) == (["r0"], True)


def test_after_a_clock_was_set_forward_the_request_is_due_at_once():
    plan = _plan(ACCEPTED, polled_at=ACCEPTED + 10)
    assert plan.due(ACCEPTED + HOUR) == ["r0"]


@pytest.mark.parametrize("make", [lambda: RetryLadder.of_seconds([1]), lambda: RetryLadder.of_seconds([5, 5, 5])])
def test_any_ladder_makes_a_plan(make: Callable[[], RetryLadder]):
    polls = _polls_until(_plan(ACCEPTED, ladder=make()), ACCEPTED, ACCEPTED + 5_000)
    assert 5 <= len(polls) <= 20
