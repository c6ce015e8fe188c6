"""Submitting a batch: intent before the call, receipt before the row counts as accepted, progress at a human pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.delivery.ledger import LedgerUnavailableError
from airflow_provider_leadsquared.delivery.verdicts import State

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.answers import Acceptance
    from airflow_provider_leadsquared.api.leads import Lead
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.delivery.ledger import Entry, Ledger
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: A row on its way: its batch, and its place there.
_Row = tuple["Batch", int]
_Outcome = tuple[_Row, "Acceptance | LeadSquaredError"]

#: Intents are written in groups of this many rows.
_GROUP_ROWS = 200
#: Receipts are written when there are this many, or when the oldest has waited this many seconds. One group is written
#: while the next gathers, so that the two together are no more than a group of intents.
_RECEIPT_ROWS, _RECEIPT_SECONDS = 100, 0.25
#: Intents of rows without a match key are written in smaller groups.
_UNMATCHED_GROUP_ROWS = 16
#: So often a group is written at the most before the run ends: the ledger may be away for a quarter of a minute.
_LEDGER_ATTEMPTS = 8
#: Seconds between two lines of progress.
_PROGRESS_SECONDS = 10.0


class Submission:
    """
    One run of batches through the hook.

    :param batches: The rows. A batch is drawn when the one before is nearly sent, and let go when it has its outcomes.
    :param total: How many rows there are to send.
    :param hook: What sends them.
    :param ledger: Where intents and receipts go.
    :param log: The task's log.
    :param stopping: Asked before each row; once it says yes, no further row is sent.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        total: int,
        hook: LeadSquaredHook,
        ledger: Ledger,
        log: Any,
        *,
        stopping: Callable[[], bool],
    ) -> None:
        self._batches, self._total = batches, total
        self._hook, self._ledger, self._log, self._stopping = hook, ledger, log, stopping
        self._unwritten: list[Entry] = []
        self._intended: set[_Row] = set()
        self._writing = asyncio.Lock()
        self._rejected = 0

    async def run(self, *, lead_update_behavior: str | None, concurrency: int) -> LeadSquaredError | None:
        """
        Send what is to be sent.

        :return: Why it ended before the last row, None if it did not.
        :raises LedgerUnavailableError: What was sent last could not be written down; those rows are in doubt.
        :raises LedgerTakenError: Another try of the task has begun.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="ledger") as self._writer:
            return await self._run(lead_update_behavior=lead_update_behavior, concurrency=concurrency)

    async def _run(self, *, lead_update_behavior: str | None, concurrency: int) -> LeadSquaredError | None:
        drawn = self._drawn()
        outcomes = self._hook.submit_leads(drawn, lead_update_behavior=lead_update_behavior, concurrency=concurrency)
        started = reported = time.monotonic()
        done = 0
        stopped_by: LeadSquaredError | None = None
        writing: asyncio.Task[None] | None = None
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            # Closed by name: a generator that an error leaves half-way would still be drawing outcomes.
            async with aclosing(_grouped(outcomes, failed)) as groups:
                async for group in groups:
                    for (batch, row), told in group:
                        self._note(batch, row, told)
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write_behind(failed))
                    done += len(group)
                    if time.monotonic() - reported >= _PROGRESS_SECONDS:
                        reported = time.monotonic()
                        self._report(done, reported - started)
        except LeadSquaredError as error:
            stopped_by = error
        finally:
            await outcomes.aclose()
            await drawn.aclose()
            if writing is not None:
                await writing
        if failed.done():
            failed.result()
        # Rows whose intent is written but that nobody sent are in no doubt.
        await self._write([batch.withdraw(row) for batch, row in self._intended])
        self._report(done, time.monotonic() - started)
        return stopped_by

    async def _drawn(self) -> AsyncGenerator[tuple[_Row, Lead]]:
        """Hand out rows, each group's intents written first; a large group's while the one before is half sent."""
        groups = self._groups()
        group: list[_Row] = [] if self._stopping() else next(groups, [])
        intended = asyncio.create_task(self._intend(group))
        try:
            while group:
                await intended
                following = next(groups, [])
                ahead = len(group) // 2 if len(following) > _UNMATCHED_GROUP_ROWS else len(group) - 1
                for position, (batch, row) in enumerate(group):
                    if self._stopping():
                        return
                    if position == ahead:
                        intended = asyncio.create_task(self._intend(following))
                    yield (batch, row), batch.leads[row]
                group = following
        finally:
            await asyncio.gather(intended, return_exceptions=True)

    def _groups(self) -> Iterator[list[_Row]]:
        """Cut rows into groups; those that a crash would leave in doubt for good go last, and few at a time."""
        for batch in self._batches:
            rows = batch.to_send()
            matched = [(batch, row) for row in rows if batch.leads[row].match_key is not None]
            unmatched = [(batch, row) for row in rows if batch.leads[row].match_key is None]
            for some, size in ((matched, _GROUP_ROWS), (unmatched, _UNMATCHED_GROUP_ROWS)):
                for start in range(0, len(some), size):
                    yield some[start : start + size]

    async def _intend(self, group: Sequence[_Row]) -> None:
        self._intended.update(group)
        await self._write([batch.intend(row) for batch, row in group])

    def _note(self, batch: Batch, row: int, told: Acceptance | LeadSquaredError) -> None:
        self._intended.discard((batch, row))
        entry = batch.told(row, told, time.time())
        self._rejected += entry.state is State.REJECTED
        self._unwritten.append(entry)

    async def _write(self, entries: Sequence[Entry] = ()) -> None:
        """Write entries and all receipts that wait; the ledger is not made for two writers at once."""
        async with self._writing:
            self._unwritten += entries
            group = list(self._unwritten)
            if group:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._written, group)
                del self._unwritten[: len(group)]

    async def _write_behind(self, failed: asyncio.Future[None]) -> None:
        """Write all receipts that wait; a failure is told through the future, which is watched."""
        try:
            await self._write()
        except Exception as error:
            if not failed.done():  # the one before may have failed as well
                failed.set_exception(error)

    def _written(self, group: Sequence[Entry]) -> None:
        """Write a group, again while the ledger is away for a moment: meanwhile nothing is sent."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        Retrying(
            retry=retry_if_exception_type(LedgerUnavailableError),
            stop=stop_after_attempt(_LEDGER_ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        )(self._ledger.write, group)

    def _report(self, done: int, seconds: float) -> None:
        rate = done / seconds if seconds else 0.0
        left = f", about {(self._total - done) / rate:,.0f} s left" if rate and done < self._total else ""
        self._log.info(
            "Submitted %s of %s leads at %s a second, %s refused%s",
            f"{done:,}",
            f"{self._total:,}",
            f"{rate:,.0f}",
            f"{self._rejected:,}",
            left,
        )


async def _grouped(outcomes: AsyncIterator[_Outcome], failed: asyncio.Future[None]) -> AsyncGenerator[list[_Outcome]]:
    """Gather outcomes into groups; an error that ends them comes after the last group, a failure at once."""
    group: list[_Outcome] = []
    due = 0.0
    ended: BaseException | None = None
    coming: asyncio.Future[_Outcome | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(outcomes, None))
            timeout = max(due - time.monotonic(), 0) if group else None
            watched: set[asyncio.Future[Any]] = {coming, failed}
            await asyncio.wait(watched, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
            if coming.done():
                ended, outcome = coming.exception(), None if coming.exception() else coming.result()
                coming = None
                if outcome is None:
                    break
                due = due if group else time.monotonic() + _RECEIPT_SECONDS
                group.append(outcome)
            if len(group) >= _RECEIPT_ROWS or time.monotonic() >= due:
                yield group
                group = []
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
    if group:
        yield group
    if ended is not None:
        raise ended
