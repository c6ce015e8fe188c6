"""How many rows a group of intents has."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.tasks import submitting


class Sizes(InProcessLedger):
    """Keeps how many rows were intended at a time."""

    def __init__(self):
        super().__init__()
        self.intended = []

    def intend(self, rows):
        self.intended.append(len(rows))
        return super().intend(rows)


class Accepting(LeadSquaredHook):
    """Accepts each lead, so many seconds after the one before."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    async def submit_many(self, payloads, **_):
        async for name, _payload in payloads:
            self.clock.now += self.seconds[0]
            yield name, Receipt(f"r{self.clock.number()}")


class Clock:
    def __init__(self):
        self.now, self.count = 0.0, 0

    def number(self):
        self.count += 1
        return self.count


@pytest.fixture
def group_sizes(monkeypatch):
    """Return a function that sends rows, some seconds each, and returns how many were intended at a time."""
    clock = Clock()
    monkeypatch.setattr(submitting, "_now", lambda: clock.now)

    def send(count, *seconds, key="EmailAddress"):
        rows = [{"id": number, key: f"lead{number}@example.org"} for number in range(count)]
        batch = Batch.read(rows, api=LEAD_CAPTURE, row_key="id", require_match_key=False)
        ledger, log = Sizes(), SimpleNamespace(info=lambda *_: None)
        left = list(seconds)

        class Changing(Accepting):
            async def submit_many(self, payloads, **arguments):
                async for one in super().submit_many(payloads, **arguments):
                    if len(left) > 1 and clock.count % 1_000 == 0:
                        left.pop(0)
                    yield one

        hook = Changing(clock, left)
        submission = submitting.Submission([batch], count, LEAD_CAPTURE, hook, ledger, log, is_stopping=lambda: False)
        assert asyncio.run(submission.run(parameters={}, concurrency=1)) is None
        assert sum(ledger.intended) == count
        return ledger.intended

    return send


def test_groups_grow_while_rows_go_fast(group_sizes):
    assert group_sizes(3_000, 0.0005) == [200, 200, 400, 400, 800, 800, 200]


def test_groups_of_rows_that_go_slowly_stay_small(group_sizes):
    assert group_sizes(1_000, 0.2) == [200] * 5


def test_groups_shrink_when_rows_begin_to_go_slowly(group_sizes):
    sizes = group_sizes(5_000, 0.0005, 0.04)
    assert (max(sizes), sizes[-3:-1]) == (800, [200, 200])


def test_groups_of_rows_that_may_not_be_repeated_stay_small(group_sizes):
    assert set(group_sizes(320, 0.0, key="FirstName")) == {16}
