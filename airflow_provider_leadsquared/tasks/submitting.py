"""Submitting batches: intent before the call, receipt before the row counts as accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import ApiError, SendingExpiredError, UnexpectedResponseError
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError, LedgerUnavailableError
from airflow_provider_leadsquared.tasks.progress import Progress

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.async_apis import AsyncApi
    from airflow_provider_leadsquared.api.payloads import Payload
    from airflow_provider_leadsquared.api.responses import Receipt
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.ledgers.base import Ledger

#: A row that is sent: its batch, and its position there.
_Row = tuple["Batch", int]
_Outcome = tuple[_Row, "Receipt | ApiError"]

#: Intents are written in groups of so many rows at first, at least and at most.
_GROUP_ROWS, _LEAST_GROUP_ROWS, _MOST_GROUP_ROWS = 200, 16, 800
#: A group that is sent in less time is followed by one of twice as many rows, in more time by one of half as many.
_FAST_GROUP_SECONDS, _SLOW_GROUP_SECONDS = 1.0, 5.0
#: Receipts are written when there are this many, or when the oldest has waited this many seconds. One group is written
#: while the next is collected, so that the two together are no more than a group of intents.
_RECEIPT_ROWS, _RECEIPT_SECONDS = 100, 0.25
#: Intents of rows that may not be repeated are written in smaller groups: a crash leaves them in doubt for good.
_UNREPEATABLE_GROUP_ROWS = 16
#: Seconds after which an intent is too old to be sent: another run may have taken it for an aborted one's by then.
_INTENT_SECONDS = 60.0
#: How often a group is written at most before the run ends: the ledger may be away for a quarter of a minute.
_LEDGER_ATTEMPTS = 8


class Submission:
    """
    One run of batches through the hook.

    :param batches: The rows. A batch is taken when the one before is nearly sent, and dropped when it has its outcomes.
    :param total: How many rows there are to send.
    :param api: The asynchronous API that they are sent to.
    :param hook: What sends them.
    :param ledger: Where intents and receipts are written.
    :param log: The task's log.
    :param is_stopping: Called before each row; once it returns True, no further row is sent.
    :param writer: What writes to the ledger, one group after the other, while calls go on. Default: a thread.
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        total: int,
        api: AsyncApi,
        hook: LeadSquaredHook,
        ledger: Ledger,
        log: Any,
        *,
        is_stopping: Callable[[], bool],
        writer: Executor | None = None,
    ) -> None:
        self._batches, self._api = batches, api
        self._hook, self._ledger, self._is_stopping, self._writer = hook, ledger, is_stopping, writer
        self._progress = Progress(log, "Submitted", api.records, total)
        self._unwritten: list[tuple[_Row, Entry]] = []
        #: When the intents were written of rows that have no outcome yet, on a clock that runs on
        #: while the machine is suspended.
        self._intended: dict[_Row, float] = {}
        #: Rows whose intent was too old when their turn came.
        self._expired: list[_Row] = []
        #: Set once another try has begun: no further row is sent, and what still comes of those that were is recorded.
        self._taken: LedgerTakenError | None = None
        self._request_ids: set[int] = set()
        self._writing = asyncio.Lock()
        self._group_rows = _GROUP_ROWS
        self._done = self._rejected = 0

    async def run(self, *, parameters: Mapping[str, str], concurrency: int) -> ApiError | None:
        """
        Send what is to be sent.

        :param parameters: Query parameters of each submission.
        :param concurrency: Calls under way at the same time.
        :return: Why it ended before the last row, None if it did not.
        :raises LedgerUnavailableError: What was sent last could not be recorded; those rows are in doubt.
        :raises LedgerTakenError: Another try of the task has begun.
        """
        if self._writer is not None:
            return await self._run(parameters, concurrency)
        with ThreadPoolExecutor(1, thread_name_prefix="ledger") as self._writer:
            return await self._run(parameters, concurrency)

    async def _run(self, parameters: Mapping[str, str], concurrency: int) -> ApiError | None:
        groups = self._groups()
        while True:
            stopped_by = await self._send(groups, parameters, concurrency)
            # Set back to unsent: what was intended and not sent, and what came too late. The latter is intended anew,
            # unless another run has sent to its lead since.
            withdrawn = (*self._intended, *self._expired)
            await self._write([((batch, row), batch.withdraw(row)) for batch, row in withdrawn])
            self._intended.clear()
            expired, self._expired = self._expired, []
            if self._taken is not None:
                raise self._taken
            if stopped_by is not None or self._is_stopping() or not expired:
                self._report(at_once=True)
                return stopped_by
            groups = self._split(expired)

    async def _send(
        self, groups: Iterator[list[_Row]], parameters: Mapping[str, str], concurrency: int
    ) -> ApiError | None:
        """Send groups of rows until they end or sending ends; return why it ended before the last row."""
        rows = self._rows(groups)
        outcomes = self._hook.submit_many(
            rows,
            api=self._api.name,
            parameters=parameters,
            may_send=self._may_send,
            is_stopping=self._is_ending,
            concurrency=concurrency,
        )
        stopped_by: ApiError | None = None
        writing: asyncio.Task[None] | None = None
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            # Closed explicitly: a generator that an error leaves half-way would go on taking outcomes.
            async with aclosing(_grouped(outcomes, failed)) as grouped:
                async for group in grouped:
                    self._record(group)
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write_behind(failed))
                    self._report()
        except ApiError as error:
            stopped_by = error
        finally:
            await outcomes.aclose()
            await rows.aclose()
            if writing is not None:
                await writing
        if failed.done():
            failed.result()
        return stopped_by

    async def _rows(self, groups: Iterator[list[_Row]]) -> AsyncGenerator[tuple[_Row, Payload]]:
        """
        Yield rows, each group after its intents are written.

        A large group's intents are written while the group before is half sent, so that sending does not wait.
        """
        group: list[_Row] = [] if self._is_ending() else next(groups, [])
        intending = asyncio.create_task(self._intend(group))
        try:
            while group:
                to_send = await intending
                begun = _now()
                following = next(groups, [])
                ahead = len(group) // 2 if len(following) > _UNREPEATABLE_GROUP_ROWS else len(group) - 1
                for position, (batch, row) in enumerate(group):
                    if self._is_ending():
                        return
                    if position == ahead:
                        intending = asyncio.create_task(self._intend(following))
                    if (batch, row) not in to_send:
                        continue
                    if self._may_send((batch, row)):
                        yield (batch, row), batch.payloads[row]
                    else:  # calls are slow: it is not to wait for its turn in vain
                        self._expire((batch, row))
                if len(group) == self._group_rows:
                    self._choose_group_rows(_now() - begun)
                group = following
        finally:
            await asyncio.gather(intending, return_exceptions=True)

    def _groups(self) -> Iterator[list[_Row]]:
        for batch in self._batches:
            self._request_ids.update(hash(entry.request_id) for entry in batch.entries if entry.request_id is not None)
            yield from self._split([(batch, row) for row in batch.to_send()])

    def _choose_group_rows(self, seconds: float) -> None:
        """Let groups grow while rows go fast: each costs a transaction. None shall be old when its last row goes."""
        if seconds < _FAST_GROUP_SECONDS:
            self._group_rows = min(2 * self._group_rows, _MOST_GROUP_ROWS)
        elif seconds > _SLOW_GROUP_SECONDS:
            self._group_rows = max(self._group_rows // 2, _LEAST_GROUP_ROWS)

    def _split(self, rows: Iterable[_Row]) -> Iterator[list[_Row]]:
        """Split rows into groups; those that may not be repeated come last, and few at a time."""
        rows = list(rows)
        repeatable = [(batch, row) for batch, row in rows if batch.may_repeat(row)]
        others = [(batch, row) for batch, row in rows if not batch.may_repeat(row)]
        start = 0
        while group := repeatable[start : start + self._group_rows]:
            start += len(group)
            yield group
        for start in range(0, len(others), _UNREPEATABLE_GROUP_ROWS):
            yield others[start : start + _UNREPEATABLE_GROUP_ROWS]

    async def _intend(self, group: Sequence[_Row]) -> set[_Row]:
        """Write the intents of a group, and return the rows that the ledger lets be sent."""
        if not group:
            return set()
        begun = _now()
        self._intended.update(dict.fromkeys(group, begun))
        rows = [(batch.intend(row), batch.payloads[row]) for batch, row in group]
        try:
            async with self._writing:
                entries: list[Entry] = await self._in_ledger(self._ledger.intend, rows)
        except LedgerTakenError as error:
            self._taken = error
            return set()
        for (batch, row), entry in zip(group, entries, strict=True):
            if not entry.state.is_to_send:
                batch.correct(row, entry)
                del self._intended[batch, row]
        return {row for row in group if row in self._intended}

    def _may_send(self, row: _Row) -> bool:
        return self._taken is None and _now() - self._intended[row] <= _INTENT_SECONDS

    def _expire(self, row: _Row) -> None:
        del self._intended[row]
        self._expired.append(row)

    def _is_ending(self) -> bool:
        return self._taken is not None or self._is_stopping()

    def _record(self, group: Sequence[_Outcome]) -> None:
        for (batch, row), outcome in group:
            if isinstance(outcome, SendingExpiredError):
                self._expire((batch, row))
                continue
            del self._intended[batch, row]
            entry = batch.record(row, self._unless_repeated(outcome), time.time())
            self._rejected += entry.state is State.REJECTED
            self._unwritten.append(((batch, row), entry))
            self._done += 1

    def _unless_repeated(self, outcome: Receipt | ApiError) -> Receipt | ApiError:
        """Return an error for a receipt whose RequestId another row of the run has: it cannot be about both."""
        if isinstance(outcome, ApiError):
            return outcome
        known = hash(outcome.request_id)  # a run may have millions; equal hashes of two ids leave one row in doubt
        if known in self._request_ids:
            repeated = UnexpectedResponseError("accepted under the RequestId of another row of this run")
            repeated.sendings = outcome.sendings
            return repeated
        self._request_ids.add(known)
        return outcome

    async def _write(self, entries: Sequence[tuple[_Row, Entry]] = ()) -> None:
        """Write entries and all receipts that wait; a ledger takes one writer at a time."""
        async with self._writing:
            self._unwritten += entries
            group = list(self._unwritten)
            if group:
                try:
                    given = [entry for _, entry in group]
                    written = await self._in_ledger(self._ledger.write_outcomes, given)
                except LedgerTakenError as error:  # receipts are written nevertheless
                    self._taken = error
                else:
                    for ((batch, row), entry), kept in zip(group, written, strict=True):
                        if kept is not entry:
                            batch.correct(row, kept)
                del self._unwritten[: len(group)]

    async def _write_behind(self, failed: asyncio.Future[None]) -> None:
        """Write all receipts that wait; an error is set on the future, which is watched."""
        try:
            await self._write()
        except Exception as error:
            if not failed.done():  # the one before may have failed as well
                failed.set_exception(error)

    async def _in_ledger(self, act: Callable[..., Any], group: Sequence[Any]) -> Any:
        """Write a group, again while the ledger is unavailable for a moment: meanwhile nothing is sent."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        retrying = Retrying(
            retry=retry_if_exception_type(LedgerUnavailableError),
            stop=stop_after_attempt(_LEDGER_ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        )
        return await asyncio.get_running_loop().run_in_executor(self._writer, retrying, act, group)

    def _report(self, *, at_once: bool = False) -> None:
        self._progress.report(self._done, f", {self._rejected:,} refused", at_once=at_once)


async def _grouped(outcomes: AsyncIterator[_Outcome], failed: asyncio.Future[None]) -> AsyncGenerator[list[_Outcome]]:
    """
    Collect outcomes into groups; an error that ends them is raised after the last group, a failed write at once.

    None is taken while the caller is busy with a group: what cannot be written down soon keeps calls from being made.
    """
    group: list[_Outcome] = []
    is_due, is_wanted = asyncio.Event(), asyncio.Event()
    timers: list[asyncio.TimerHandle] = []

    async def collect() -> None:
        async for outcome in outcomes:
            if not group:
                timers[:] = [asyncio.get_running_loop().call_later(_RECEIPT_SECONDS, is_due.set)]
            group.append(outcome)
            if len(group) >= _RECEIPT_ROWS:
                is_wanted.clear()
                is_due.set()
            await is_wanted.wait()

    collecting = asyncio.create_task(collect())
    for ending in (collecting, failed):
        ending.add_done_callback(lambda _: is_due.set())
    try:
        while not collecting.done() or group:
            is_wanted.set()
            await is_due.wait()
            is_wanted.clear()
            if failed.done():
                failed.result()
            for timer in timers:
                timer.cancel()
            taken = list(group)
            group.clear()
            is_due.clear()
            if taken:
                yield taken
        collecting.result()
    finally:
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)


def _now() -> float:
    """Return seconds on a clock that nobody sets and that runs on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS's monotonic clock runs on of itself
    return time.clock_gettime(clock)
