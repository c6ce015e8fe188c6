"""Submitting a batch: intent before the call, receipt before the row counts as accepted, progress at a human pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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

_Outcome = tuple[int, "Acceptance | LeadSquaredError"]

#: A group is written when it has this many rows, or when its oldest row has waited this many seconds.
_GROUP_ROWS, _GROUP_SECONDS = 200, 0.25
#: Intents of rows without a match key are written in smaller groups.
_UNMATCHED_GROUP_ROWS = 16
#: So often a group is written at the most before the run ends: the ledger may be away for a quarter of a minute.
_LEDGER_ATTEMPTS = 8
#: Seconds between two lines of progress.
_PROGRESS_SECONDS = 10.0


class Submission:
    """
    One run of a batch through the hook.

    :param batch: The rows.
    :param hook: What sends them.
    :param ledger: Where intents and receipts go.
    :param log: The task's log.
    :param stopping: Asked before each row; once it says yes, no further row is sent.
    """

    def __init__(
        self, batch: Batch, hook: LeadSquaredHook, ledger: Ledger, log: Any, *, stopping: Callable[[], bool]
    ) -> None:
        self._batch, self._hook, self._ledger, self._log, self._stopping = batch, hook, ledger, log, stopping
        self._unwritten: list[Entry] = []
        self._intended: set[int] = set()
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
        rows = self._batch.to_send()
        drawn = self._drawn(rows)
        outcomes = self._hook.submit_leads(drawn, lead_update_behavior=lead_update_behavior, concurrency=concurrency)
        started = reported = time.monotonic()
        done = 0
        stopped_by: LeadSquaredError | None = None
        try:
            async for group in _grouped(outcomes):
                for row, told in group:
                    self._note(row, told)
                await self._write()
                done += len(group)
                if time.monotonic() - reported >= _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    self._report(done, len(rows), reported - started)
        except LeadSquaredError as error:
            stopped_by = error
        finally:
            await outcomes.aclose()
            await drawn.aclose()
        # Rows whose intent is written but that nobody sent are in no doubt.
        await self._write([self._batch.withdraw(row) for row in self._intended])
        self._report(done, len(rows), time.monotonic() - started)
        return stopped_by

    async def _drawn(self, rows: Sequence[int]) -> AsyncGenerator[tuple[int, Lead]]:
        """Hand out rows, each group's intents written first; a large group's while the one before is half sent."""
        groups = self._groups(rows)
        intended = asyncio.create_task(self._intend(groups[0])) if groups and not self._stopping() else None
        try:
            for number, group in enumerate(groups):
                if intended is not None:
                    await intended
                following = groups[number + 1] if number + 1 < len(groups) else []
                ahead = len(group) // 2 if len(following) > _UNMATCHED_GROUP_ROWS else len(group) - 1
                for position, row in enumerate(group):
                    if self._stopping():
                        return
                    if following and position == ahead:
                        intended = asyncio.create_task(self._intend(following))
                    yield row, self._batch.leads[row]
        finally:
            if intended is not None:
                await asyncio.gather(intended, return_exceptions=True)

    def _groups(self, rows: Sequence[int]) -> list[list[int]]:
        """Cut rows into groups; those that a crash would leave in doubt for good go last, and few at a time."""
        matched = [row for row in rows if self._batch.leads[row].match_key is not None]
        unmatched = [row for row in rows if self._batch.leads[row].match_key is None]
        return [
            some[start : start + size]
            for some, size in ((matched, _GROUP_ROWS), (unmatched, _UNMATCHED_GROUP_ROWS))
            for start in range(0, len(some), size)
        ]

    async def _intend(self, group: Sequence[int]) -> None:
        self._intended.update(group)
        await self._write([self._batch.intend(row) for row in group])

    def _note(self, row: int, told: Acceptance | LeadSquaredError) -> None:
        self._intended.discard(row)
        entry = self._batch.told(row, told, time.time())
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

    def _written(self, group: Sequence[Entry]) -> None:
        """Write a group, again while the ledger is away for a moment: meanwhile nothing is sent."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        Retrying(
            retry=retry_if_exception_type(LedgerUnavailableError),
            stop=stop_after_attempt(_LEDGER_ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        )(self._ledger.write, group)

    def _report(self, done: int, total: int, seconds: float) -> None:
        rate = done / seconds if seconds else 0.0
        left = f", about {(total - done) / rate:,.0f} s left" if rate and done < total else ""
        self._log.info(
            "Submitted %s of %s leads at %s a second, %s refused%s",
            f"{done:,}",
            f"{total:,}",
            f"{rate:,.0f}",
            f"{self._rejected:,}",
            left,
        )


async def _grouped(outcomes: AsyncIterator[_Outcome]) -> AsyncIterator[list[_Outcome]]:
    """Gather outcomes into groups; an error that ends them comes after the last group."""
    group: list[_Outcome] = []
    due = 0.0
    ended: BaseException | None = None
    coming: asyncio.Future[_Outcome | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(outcomes, None))
            await asyncio.wait({coming}, timeout=max(due - time.monotonic(), 0) if group else None)
            if coming.done():
                ended, outcome = coming.exception(), None if coming.exception() else coming.result()
                coming = None
                if outcome is None:
                    break
                due = due if group else time.monotonic() + _GROUP_SECONDS
                group.append(outcome)
            if len(group) >= _GROUP_ROWS or time.monotonic() >= due:
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
