"""How far LeadSquared's clock is ahead, as its responses tell."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.clock_offset import ClockOffset


def test_without_a_response_the_clocks_count_as_equal():
    assert (ClockOffset().seconds, ClockOffset().is_known) == (0.0, False)


def test_what_earlier_polls_found_counts_until_a_response_tells_better():
    offset = ClockOffset(-3_600.0)
    assert (offset.seconds, offset.is_known) == (-3_600.0, True)
    offset.learn(10.0, 5.0)
    assert offset.seconds == 5.0


@pytest.mark.parametrize("difference", [3_600.0, -3_600.0, 1.0, -1.5])
def test_a_response_tells_the_difference_of_the_clocks(difference):
    offset = ClockOffset()
    offset.learn(1_000.0 + difference, 1_000.0)
    assert (offset.seconds, offset.is_known) == (difference, True)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999])
def test_clocks_are_equal_if_they_differ_by_less_than_the_header_can_tell(fraction):
    offset = ClockOffset()
    offset.learn(1_000.0, 1_000.0 + fraction)
    assert offset.seconds == 0.0


def test_a_response_that_was_long_on_its_way_tells_less_than_one_that_was_quick():
    offset = ClockOffset()
    for seconds_on_the_way in (30.0, 2.0, 20.0):
        offset.learn(4_600.0, 1_000.0 + seconds_on_the_way)
    assert offset.seconds == 3_598.0
