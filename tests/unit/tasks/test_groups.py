"""How many rows a group of intents has, and what becomes of rows whose intents get too old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat
from types import SimpleNamespace

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.tasks import submitting


class Sending:
    """
    Sends rows one after another, in virtual time.

    :param seconds: How long each call takes.
    """

    def __init__(self, seconds: Iterator[float]) -> None:
        self.now = 0.0
        self.seconds = seconds
        #: How many rows were intended at a time.
        self.groups: list[int] = []
        #: How old the intent of each row was when it was handed out.
        self.ages: list[float] = []
        self.intended_at: dict[int, float] = {}

    def run(self, count: int, *, key: str = "EmailAddress") -> None:
        rows = [{"id": number, key: f"lead{number}@example.org"} for number in range(count)]
        batch = Batch.read(rows, api=LEAD_CAPTURE, row_key="id", require_match_key=False)
        log = SimpleNamespace(info=lambda *_: None)
        submission = submitting.Submission(
            [batch], count, LEAD_CAPTURE, Accepting(self), Noting(self), log, is_stopping=lambda: False
        )
        assert asyncio.run(submission.run(parameters={}, concurrency=1)) is None
        assert all(entry.request_id for entry in batch.entries)


class Noting(InProcessLedger):
    """A ledger that notes when rows are intended."""

    def __init__(self, sending):
        super().__init__()
        self.sending = sending

    def intend(self, rows):
        self.sending.groups.append(len(rows))
        self.sending.intended_at.update({entry.row: self.sending.now for entry, _ in rows})
        return super().intend(rows)


class Accepting(LeadSquaredHook):
    """Accepts each lead."""

    def __init__(self, sending):
        super().__init__()
        self.sending = sending

    async def submit_many(self, payloads, **_):
        async for (batch, row), _payload in payloads:
            self.sending.ages.append(self.sending.now - self.sending.intended_at[row])
            self.sending.now += next(self.sending.seconds)
            yield (batch, row), Receipt(f"r{len(self.sending.ages)}")


@pytest.fixture
def start(monkeypatch):
    """Return a function that makes a sending whose calls take so many seconds each."""

    def started(seconds: Iterator[float]) -> Sending:
        sending = Sending(seconds)
        monkeypatch.setattr(submitting, "_now", lambda: sending.now)
        return sending

    return started


def test_groups_grow_while_rows_go_fast(start):
    sending = start(repeat(0.0005))
    sending.run(3_000)
    assert sending.groups == [200, 200, 400, 400, 800, 800, 200]


def test_groups_of_rows_that_go_slowly_get_small(start):
    sending = start(repeat(0.2))
    sending.run(1_000)
    assert (sending.groups[:2], sending.groups[-3:-1]) == ([200, 200], [25, 25])


def test_groups_shrink_when_rows_begin_to_go_slowly(start):
    sending = start(chain(repeat(0.0005, 1_000), repeat(0.04)))
    sending.run(4_500)
    assert (max(sending.groups), sending.groups[-3:-1]) == (800, [100, 100])


def test_groups_of_rows_that_may_not_be_repeated_stay_small(start):
    sending = start(repeat(0.0))
    sending.run(320, key="FirstName")
    assert set(sending.groups) == {16}


def test_no_row_is_handed_out_once_its_intent_is_too_old(start):
    sending = start(repeat(1.0))
    sending.run(400)
    assert len(sending.ages) == 400
    assert max(sending.ages) <= 60
