"""Whether a row is sent: a table of what is known of its lead and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.sync.decision import EARLIER_REQUEST, decide
from airflow_provider_leadsquared.sync.replay import Replay

NOW, SETTLE_TIMEOUT = 1_000_000.0, 1_000.0
ROW = Entry(4, State.UNSENT, "k", "new")


def known(
    state: State, fingerprint: str, *, before: str | None = None, own: bool = False, ago: float = 10.0, **more: Any
) -> LeadMemory:
    accepted_at = NOW - ago if state is State.OPEN else None
    last = Entry(0, state, "k", fingerprint, accepted_at=accepted_at, settled_at=NOW - ago, attempts=1, **more)
    return LeadMemory(last, own=own, confirmed_before=before, written_at=NOW - ago)


def found(remembered: LeadMemory | None, **options: Any) -> State:
    return decide(ROW, remembered, now=NOW, settle_timeout=SETTLE_TIMEOUT, **options).state


@pytest.mark.parametrize(
    ("remembered", "state"),
    [
        (None, "unsent"),
        (LeadMemory(None), "unsent"),
        (known(State.CREATED, "new"), "unchanged"),
        (known(State.UPDATED, "new"), "unchanged"),
        (known(State.CREATED, "old"), "unsent"),
        (known(State.OPEN, "new"), "waiting"),
        (known(State.OPEN, "old"), "waiting"),
        (known(State.OPEN, "new", ago=SETTLE_TIMEOUT), "unsent"),
        (known(State.OPEN, "old", ago=SETTLE_TIMEOUT), "unsent"),
        (known(State.IN_DOUBT, "new"), "unsent"),
        (known(State.IN_DOUBT, "old"), "waiting"),
        (known(State.IN_DOUBT, "old", before="new"), "waiting"),
        (known(State.IN_DOUBT, "old", ago=SETTLE_TIMEOUT), "unsent"),
        (known(State.IN_DOUBT, "old", before="new", ago=SETTLE_TIMEOUT), "unsent"),
        (known(State.REJECTED, "new"), "rejected"),
        (known(State.REJECTED, "old"), "unsent"),
        (known(State.REJECTED, "old", before="new"), "unchanged"),
        (known(State.REJECTED, "old", before="new", doubted_at=NOW - 10), "waiting"),
        (known(State.REJECTED, "old", before="new", doubted_at=NOW - SETTLE_TIMEOUT), "unsent"),
        (known(State.FAILED, "new"), "unsent"),
        (known(State.FAILED, "old", before="new"), "unsent"),
        (known(State.UNSENT, "new"), "unsent"),
        (known(State.UNSENT, "old", before="new"), "unchanged"),
        (known(State.UNSENT, "old", before="new", doubted_at=NOW - SETTLE_TIMEOUT), "unsent"),
        (known(State.CREATED, "old", doubted_at=NOW - 10), "waiting"),
        (known(State.CREATED, "new", doubted_at=NOW - 10), "unchanged"),
        (known(State.CREATED, "old", doubted_at=NOW - SETTLE_TIMEOUT), "unsent"),
        (known(State.OPEN, "new", own=True), "open"),
        (known(State.CREATED, "new", own=True), "created"),
        (known(State.REJECTED, "new", own=True), "rejected"),
        (known(State.FAILED, "new", own=True), "failed"),
        (known(State.IN_DOUBT, "new", own=True), "in_doubt"),
        (known(State.UNSENT, "new", own=True), "unsent"),
        (known(State.OPEN, "old", own=True), "waiting"),
        (known(State.CREATED, "old", own=True), "unsent"),
    ],
)
def test_what_is_known_of_a_lead_decides(remembered, state):
    assert found(remembered) == state


@pytest.mark.parametrize(
    ("remembered", "state"),
    [
        (known(State.CREATED, "new"), "unsent"),
        (known(State.REJECTED, "new"), "unsent"),
        (known(State.OPEN, "new"), "waiting"),
        (known(State.IN_DOUBT, "old"), "waiting"),
        (known(State.CREATED, "new", own=True), "created"),
    ],
)
def test_a_full_refresh_sends_all_but_what_waits_and_what_this_run_has_sent(remembered, state):
    assert found(remembered, full_refresh=True) == state


@pytest.mark.parametrize(
    ("remembered", "state"),
    [
        (known(State.REJECTED, "new"), "unsent"),
        (known(State.REJECTED, "new", own=True), "rejected"),
        (known(State.CREATED, "new"), "unchanged"),
        (known(State.OPEN, "new"), "waiting"),
    ],
)
def test_a_replay_sends_refused_rows_only(remembered, state):
    assert found(remembered, replay=Replay()) == state


def test_a_waiting_row_says_what_it_waits_for():
    row = decide(ROW, known(State.OPEN, "old"), now=NOW, settle_timeout=SETTLE_TIMEOUT)
    assert (row.reason_class, "the next run sends the newest value" in str(row.reason)) == (EARLIER_REQUEST, True)


def test_an_unchanged_row_knows_its_lead():
    remembered = known(State.CREATED, "new", lead_id="lead-1")
    assert decide(ROW, remembered, now=NOW, settle_timeout=SETTLE_TIMEOUT).lead_id == "lead-1"


def test_a_row_taken_over_from_an_earlier_try_keeps_its_own_position():
    assert decide(ROW, known(State.OPEN, "new", own=True), now=NOW, settle_timeout=SETTLE_TIMEOUT).row == ROW.row


def test_a_row_sent_again_remembers_that_it_was_in_doubt():
    row = decide(ROW, known(State.IN_DOUBT, "new"), now=NOW, settle_timeout=SETTLE_TIMEOUT)
    assert row.doubted_at == NOW - 10


def test_the_next_try_goes_on_counting_attempts():
    assert decide(ROW, known(State.UNSENT, "new", own=True), now=NOW, settle_timeout=SETTLE_TIMEOUT).attempts == 1
