"""The documented retry ladder, in both readings."""

from __future__ import annotations

import pytest
from pendulum import duration

from airflow_provider_leadsquared.api.retries import DOCUMENTED_INTERVALS, RetryLadder

GAPS = (30, 150, 570, 1_470, 3_270, 5_970, 9_570, 14_970, 22_170, 32_970)
OFFSETS = (30, 120, 420, 900, 1_800, 2_700, 3_600, 5_400, 7_200, 10_800)


def test_the_documented_list_has_ten_intervals():
    assert len(DOCUMENTED_INTERVALS) == 10


def test_read_as_gaps_the_last_retry_comes_after_32970_seconds():
    assert RetryLadder().as_gaps() == GAPS


def test_read_as_offsets_the_last_retry_comes_after_10800_seconds():
    assert RetryLadder().as_offsets() == OFFSETS


def test_the_gates_are_both_readings_each_moment_once_in_order():
    assert RetryLadder().times() == tuple(sorted(set(GAPS) | set(OFFSETS)))


def test_the_first_retry_is_one_gate_in_both_readings():
    assert len(RetryLadder().times()) == 19


def test_the_longest_wait_is_that_of_the_longer_reading():
    assert RetryLadder().longest == 32_970


@pytest.mark.parametrize("speed", [1, 10, 1_000, 100_000])
def test_a_faster_clock_divides_every_moment(speed):
    faster = RetryLadder().faster(speed)
    assert faster.times() == pytest.approx([time / speed for time in RetryLadder().times()], abs=1e-5)


def test_making_a_ladder_faster_leaves_the_first_one_alone():
    ladder = RetryLadder()
    ladder.faster(10)
    assert ladder.as_offsets() == OFFSETS


def test_plain_numbers_make_a_ladder():
    assert RetryLadder.of_seconds([1, 2.5]) == RetryLadder((duration(seconds=1), duration(seconds=2.5)))


def test_another_list_replaces_the_documented_one():
    ladder = RetryLadder.of_seconds([10, 20])
    assert (ladder.as_gaps(), ladder.as_offsets(), ladder.longest) == ((10, 30), (10, 20), 30)


@pytest.mark.parametrize(
    "seconds",
    [[], [0], [30, -1], [30, 0, 60], [float("nan")], [float("inf")], ["30"], [None]],
    ids=["empty", "zero", "negative", "zero_inside", "nan", "infinite", "text", "none"],
)
def test_a_ladder_that_nobody_can_climb_is_refused(seconds):
    with pytest.raises(ValueError, match="retry intervals"):
        RetryLadder.of_seconds(seconds)
