"""On which clock the age of an intent is measured."""

from __future__ import annotations

import time

import pytest

from airflow_provider_leadsquared.tasks import submitting


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system's monotonic clock runs on of itself")
def test_the_age_of_an_intent_counts_the_time_for_which_the_machine_was_suspended(monkeypatch):
    monkeypatch.setattr(time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 7_200.0}.get(clock, 0.0))
    assert submitting._now() == 7_200.0
