"""How a queue is followed with few calls."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_leadsquared.delivery.sweeping import Asker, is_together, spread, sweep, widen


def run(waves, asker: Asker, done) -> tuple[list[str], Any]:
    """Answer all that is asked for; returns it and what comes out."""
    asked: list[str] = []
    try:
        while True:
            wave = next(waves)
            asked += wave
            for name in wave:
                answer = done(int(name))
                if answer is not None:
                    asker.answer(name, settled=answer)
    except StopIteration as end:
        return asked, end.value


def queue(count: int) -> list[str]:
    return [str(number) for number in range(count)]


@pytest.mark.parametrize("place", [0, 1, 17, 500, 9_999, 10_000])
def test_the_place_to_which_a_queue_has_come_is_found_with_few_calls_beyond_it(place):
    asker = Asker(100_000)
    asked, found = run(sweep(asker, queue(10_000), expected=0, fine=16), asker, lambda number: number < place)
    assert place - 16 <= found <= place + 8
    assert len([name for name in asked if int(name) >= place]) <= 40


def test_where_the_place_is_expected_few_calls_are_made_beyond_it():
    asker = Asker(100_000)
    asked, found = run(sweep(asker, queue(10_000), expected=200, fine=4), asker, lambda number: number < 205)
    assert (200 <= found <= 207, len(asked) - 205 <= 8) == (True, True)


def test_a_place_far_beyond_the_expected_one_is_found_as_well():
    asker = Asker(100_000)
    _, found = run(sweep(asker, queue(10_000), expected=20, fine=3), asker, lambda number: number < 9_000)
    assert 8_990 <= found <= 9_002


def test_a_few_that_are_open_among_the_rest_do_not_end_it():
    asker = Asker(100_000)
    _, found = run(sweep(asker, queue(1_000), expected=0, fine=16), asker, lambda number: bool(number % 20))
    assert found == 1_000


@pytest.mark.parametrize("expected", [0, 500])
def test_it_ends_where_no_answers_come(expected):
    asker = Asker(100_000)
    asked, found = run(sweep(asker, queue(1_000), expected=expected, fine=16), asker, lambda _: None)
    assert (found, len(asked) <= 16) == (0, True)


def test_it_ends_with_the_budget():
    asker = Asker(100)
    asked, _ = run(sweep(asker, queue(1_000), expected=0, fine=16), asker, lambda _: True)
    assert len(asked) == 100


def test_nobody_is_asked_for_twice():
    asker = Asker(100_000)
    asked, _ = run(sweep(asker, queue(5_000), expected=900, fine=3), asker, lambda number: number < 1_700)
    assert len(set(asked)) == len(asked) == asker.count


def test_the_neighbours_of_one_that_is_ready_are_asked_for_as_long_as_they_are_ready_too():
    asker = Asker(100_000)
    _, (start, end) = run(widen(asker, queue(1_000), 600, fine=8), asker, lambda number: 500 <= number < 700)
    assert (470 <= start <= 600, 650 <= end <= 750) == (True, True)


def test_a_sample_is_spread_over_all_and_another_one_each_time():
    first, second = (spread(queue(1_000), 10, number) for number in (1, 2))
    assert set(first).isdisjoint(second)
    assert [int(name) // 100 for name in first] == [int(name) // 100 for name in second] == list(range(10))


def test_a_group_that_is_no_larger_than_the_sample_is_the_sample():
    assert spread(queue(5), 10, 1) == queue(5)


@pytest.mark.parametrize(
    ("sample", "together"),
    [("0110", True), ("1111", True), ("0100", True), ("1010", False), ("101101", False), ("0000", False)],
)
def test_verdicts_close_together_are_told_from_verdicts_here_and_there(sample, together):
    assert is_together([one == "1" for one in sample]) is together
