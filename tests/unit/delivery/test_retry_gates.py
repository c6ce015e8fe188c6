"""After which times a poll of one request may find something, and which reading of the ladder holds."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.retry_gates import TAIL, Gates, Readings

LADDER = RetryLadder()


def readings(gaps=(0, 0), offsets=(0, 0)) -> tuple[float, ...]:
    return Readings(LADDER, gaps=gaps, offsets=offsets).retries()


def test_both_readings_count_as_long_as_answers_rule_none_out():
    assert readings() == LADDER.times()


def test_a_reading_whose_retries_find_nothing_while_the_others_do_is_dropped():
    assert readings(gaps=(3, 20), offsets=(0, 20)) == LADDER.as_gaps()
    assert readings(gaps=(0, 20), offsets=(3, 20)) == LADDER.as_offsets()


@pytest.mark.parametrize(("gaps", "offsets"), [((2, 20), (0, 20)), ((3, 20), (0, 19)), ((12, 20), (4, 20))])
def test_few_answers_or_mixed_ones_rule_out_nothing(gaps, offsets):
    assert readings(gaps, offsets) == LADDER.times()


@pytest.mark.parametrize(
    ("asked", "settled", "gaps", "offsets"),
    [
        ((130.0, 160.0), True, (1, 1), (0, 0)),
        ((130.0, 160.0), False, (0, 1), (0, 0)),
        ((50.0, 130.0), True, (0, 0), (1, 1)),
        ((50.0, 160.0), True, (0, 0), (0, 0)),  # both were due
        ((200.0, 300.0), True, (0, 0), (0, 0)),  # none was
    ],
)
def test_an_answer_counts_for_the_reading_of_which_alone_a_retry_was_due(asked, settled, gaps, offsets):
    found = Readings(LADDER)
    found.learn((0.0, 5.0), asked, settled=settled)
    assert (found.gaps, found.offsets) == (gaps, offsets)


def test_an_answer_counts_for_none_if_nobody_knows_when_the_first_attempt_was():
    found = Readings(LADDER)
    found.learn((0.0, 100.0), (130.0, 160.0), settled=True)
    assert (found.gaps, found.offsets) == ((0, 0), (0, 0))


def test_a_gate_follows_each_retry_within_a_small_part_of_the_time_to_the_next():
    gates = Gates(LADDER.as_gaps(), last=LADDER.longest)
    for retry in LADDER.as_gaps():
        assert 2.0 <= gates.next(retry) - retry <= 2.0 + 40.0


def test_attempts_that_may_be_late_are_waited_for():
    soon, late = (Gates(LADDER.as_gaps(), last=LADDER.longest, late=late) for late in (0.0, 20.0))
    assert late.next(150.0) - soon.next(150.0) == pytest.approx(20.0)


def test_past_the_ladders_end_gates_follow_at_even_intervals():
    gates = Gates(LADDER.times(), last=LADDER.longest, speed=10)
    first = gates.next(40_000.0)
    assert gates.next(first) - first == pytest.approx(TAIL / 10)
    assert gates.passed(first) - gates.passed(40_000.0) == 1
