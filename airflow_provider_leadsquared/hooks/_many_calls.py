"""Many calls at once: which are made again, when all of them stop, and what is reported of each. No HTTP in here."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from time import monotonic
from typing import Generic, TypeVar

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NoSuchPathError,
    RejectedError,
    UnexpectedResponseError,
)
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.hooks._backoff import Backoff

Name = TypeVar("Name")
Item = TypeVar("Item")
Result = TypeVar("Result")

#: How often one call is made at most. Only calls that may be repeated are.
MAX_ATTEMPTS = 4
#: Wrong whatever is sent: the first of these ends a run.
_FATAL = (AuthenticationError, NoSuchPathError, ConfigurationError)
#: The longest wait, in seconds, before a caller that is held back checks whether the run has ended.
_LONGEST_SLEEP = 1.0


class ManyCalls(Generic[Name, Item, Result]):
    """
    Make a call for each of many items, several at a time, and report each outcome as it comes.

    All calls share one back-off. An item is called again only if its last call was certainly not accepted, or if it
    may be repeated.

    :param call: Makes one call for a name and its item; raises :class:`ApiError` if it failed.
    :param may_repeat: Whether an item may be called again when its last call is in doubt.
    :param concurrency: Calls under way at the same time.
    :param give_up_after: Seconds without any success after which no further call is made.
    """

    def __init__(
        self,
        call: Callable[[Name, Item], Awaitable[Result]],
        *,
        may_repeat: Callable[[Item], bool],
        concurrency: int,
        give_up_after: float,
    ) -> None:
        self._call, self._may_repeat, self._concurrency = call, may_repeat, concurrency
        self._backoff = Backoff(give_up_after)
        self._outcomes: asyncio.Queue[tuple[Name, Result | ApiError] | None] = asyncio.Queue()
        # Bounds what is under way or not yet taken by the caller, and with it what a crash leaves in doubt.
        self._slots = asyncio.Semaphore(2 * concurrency)
        self._taking = asyncio.Lock()
        self._stopped_by: Exception | None = None
        self._any_success = False

    async def run(self, items: AsyncIterator[tuple[Name, Item]]) -> AsyncGenerator[tuple[Name, Result | ApiError]]:
        """
        Make the calls, once.

        :param items: Items with names of the caller's choice, taken no sooner than they can be called.
        :raises ApiError: Going on is pointless (keys refused, wrong host, outage): raised after the last outcome.
            Items that were not taken were not called.
        """
        workers = asyncio.create_task(self._work_all(items))
        try:
            while (outcome := await self._outcomes.get()) is not None:
                yield outcome
                self._slots.release()
            await workers
        finally:
            workers.cancel()
            await asyncio.gather(workers, return_exceptions=True)
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _work_all(self, items: AsyncIterator[tuple[Name, Item]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._work(items))
        finally:
            self._outcomes.put_nowait(None)

    async def _work(self, items: AsyncIterator[tuple[Name, Item]]) -> None:
        while self._stopped_by is None:
            await self._slots.acquire()
            try:
                async with self._taking:
                    # Another call may have ended the run while this one waited.
                    taken = None if self._stopped_by is not None else await anext(items, None)
            except Exception as error:  # the caller's own: let calls under way end, then raise it
                self._stopped_by = self._stopped_by or error
                return
            if taken is None:
                return
            name, item = taken
            self._outcomes.put_nowait((name, await self._outcome(name, item)))

    async def _outcome(self, name: Name, item: Item) -> Result | ApiError:
        """Call one item until there is an outcome that stays."""
        doubts: list[ApiError] = []
        while True:
            while (wait := self._backoff.hold(monotonic())) and self._stopped_by is None:
                await sleep(min(wait, _LONGEST_SLEEP))
            try:
                result = await self._call(name, item)
            except RejectedError as error:
                error.after_doubt = bool(doubts)
                return error
            except ApiError as error:
                doubts += [error] if error.in_doubt else []
                self._note_failure(error)
                if self._stopped_by or not self._is_called_again(item, error, len(doubts)):
                    # That a later call was certainly not accepted does not settle the doubt about an earlier one.
                    return doubts[-1] if doubts else error
            else:
                self._any_success = True
                self._backoff.succeeded()
                return replace(result, after_doubt=True) if doubts and isinstance(result, Receipt) else result

    def _note_failure(self, error: ApiError) -> None:
        if error.transient:
            self._backoff.failed(error, monotonic())
        is_fatal = isinstance(error, _FATAL) or (isinstance(error, UnexpectedResponseError) and not self._any_success)
        if is_fatal or self._backoff.exhausted(monotonic()):
            self._stopped_by = self._stopped_by or error

    def _is_called_again(self, item: Item, error: ApiError, doubts: int) -> bool:
        return error.transient and (not error.in_doubt or (self._may_repeat(item) and doubts < MAX_ATTEMPTS))
