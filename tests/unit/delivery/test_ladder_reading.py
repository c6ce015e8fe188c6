"""What an account's answers say of the retry ladder, as it is kept for later runs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadsquared.delivery.poll_learnt import READING_LASTS, LadderReading, Learnt, fuller_reading

READING = LadderReading((4, 9), (0, 20), 1_000.0)


def test_it_comes_back_as_it_was_written():
    assert LadderReading.from_json(json.loads(json.dumps(READING.as_json())), 2_000.0) == READING


@pytest.mark.parametrize("found", [None, 5, {"gaps": [1, 2]}, {**READING.as_json(), "more": 1}])
def test_what_is_no_reading_says_nothing(found):
    assert LadderReading.from_json(found, 2_000.0) is None


def test_after_a_month_it_is_learnt_anew_for_leadsquared_may_have_changed_the_ladder():
    assert LadderReading.from_json(READING.as_json(), 1_001.0 + READING_LASTS) is None


def test_it_counts_from_its_first_answer():
    learnt = Learnt(gaps=(5, 10), offsets=(0, 21))
    assert learnt.reading(None, 3_000.0).since == 3_000.0
    assert learnt.reading(READING, 3_000.0) == LadderReading((5, 10), (0, 21), 1_000.0)


def test_of_two_the_one_that_rests_on_more_answers_counts_and_the_later_one_of_equals():
    more, none = {**READING.as_json(), "gaps": [4, 10]}, None
    given = [(READING.as_json(), more), (more, READING.as_json()), (none, more), (more, none)]
    assert [fuller_reading(*pair, 2_000.0) for pair in given] == [more, more, more, more]
    later = {**READING.as_json(), "since": 1_500.0}
    assert fuller_reading(READING.as_json(), later, 2_000.0) == later
