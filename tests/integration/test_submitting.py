"""Submitting a batch when the ledger fails beneath it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, Future
from types import SimpleNamespace

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.tasks.submitting import Submission
from tests.integration.tasks import leads


class LedgerThatLosesReceipts(InProcessLedger):
    def write(self, entries=(), *, metadata=None):
        if any(entry.request_id for entry in entries):
            raise LedgerUnavailableError("the ledger is away")
        super().write(entries, metadata=metadata)


class HookThatNeverEnds(LeadSquaredHook):
    """Accepts the first lead and leaves the second without a response."""

    async def submit_many(self, payloads, **_):
        name, _payload = await anext(payloads)
        yield name, Receipt("11111111-0000-4000-8000-000000000001")
        await asyncio.Event().wait()


class Inline(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn, /, *args, **kwargs):
        done: Future[object] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


@pytest.mark.parametrize("writer", [None, Inline()], ids=["a thread of its own", "handed in"])
def test_a_ledger_that_fails_while_responses_are_awaited_is_reported_as_such(no_waits, writer):
    submission = Submission(
        [Batch.read(leads(2), row_key="id", api=LEAD_CAPTURE)],
        2,
        LEAD_CAPTURE,
        HookThatNeverEnds(),
        LedgerThatLosesReceipts(),
        SimpleNamespace(info=lambda *_: None),
        is_stopping=lambda: False,
        writer=writer,
    )
    with pytest.raises(LedgerUnavailableError, match="the ledger is away"):
        asyncio.run(submission.run(parameters={}, concurrency=2))
