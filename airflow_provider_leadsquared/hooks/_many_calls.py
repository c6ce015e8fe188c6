"""Many calls at once: which are made again, when all of them stop, and what is reported of each. No HTTP in here."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, TypeVar

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NoSuchPathError,
    RejectedError,
    UnexpectedResponseError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.hooks._backoff import Backoff
from airflow_provider_leadsquared.hooks._pace import Pace

Name = TypeVar("Name")
Item = TypeVar("Item")
Result = TypeVar("Result")

#: How often one call is made at most. Only calls that may be repeated are.
MAX_ATTEMPTS = 4
#: Wrong whatever is sent: the first of these ends a run.
_FATAL = (AuthenticationError, NoSuchPathError, ConfigurationError)
#: LeadSquared's own response about one item: the way to it works.
_OF_ONE_ITEM = (RejectedError, UnknownRequestError)
#: The longest wait, in seconds, before a caller that is held back checks whether the run has ended.
_LONGEST_SLEEP = 1.0


class _NotCalledError(Exception):
    """The run ended before an item was called."""


class ManyCalls(Generic[Name, Item, Result]):
    """
    Make a call for each of many items, several at a time, and report each outcome as it comes.

    All calls share one back-off. The first call is made alone; so is the first one after any failure that is not about
    its item alone, and the others wait for it. An item is called again only if its last call was certainly not
    accepted, or if it may be repeated.

    :param call: Makes one call for a name and its item; raises :class:`ApiError` if it failed.
    :param may_repeat: Whether an item may be called again when its last call is in doubt.
    :param concurrency: Calls under way at the same time.
    :param give_up_after: Seconds without any success after which no further call is made.
    :param probe: Makes a call that changes nothing; raises :class:`ApiError` if it failed. It is made before an item is
        risked after a failure that left one in doubt. Default: there is no such call.
    :param is_stopping: Once it returns True, no further call is made; asked once a second at least.
    :param pace: How fast calls are made. Default: as many as may be under way.
    :param log: Where pauses are logged.
    """

    def __init__(
        self,
        call: Callable[[Name, Item], Awaitable[Result]],
        *,
        may_repeat: Callable[[Item], bool],
        concurrency: int,
        give_up_after: float,
        probe: Callable[[], Awaitable[object]] | None = None,
        is_stopping: Callable[[], bool] | None = None,
        pace: Pace | None = None,
        log: Any = None,
    ) -> None:
        self._pace = pace or Pace()
        self._call, self._may_repeat, self._concurrency = call, may_repeat, self._pace.most_waiting(concurrency)
        self._probe, self._is_stopping = probe, is_stopping or (lambda: False)
        self._log = log or logging.getLogger(__name__)
        self._backoff = Backoff(give_up_after)
        self._under_way = 0
        self._call_ended = asyncio.Event()
        self._outcomes: deque[tuple[Name, Result | ApiError]] = deque()
        # Set when there are outcomes or no more will come; one wait serves all that have come meanwhile.
        self._is_due = asyncio.Event()
        # Items under way or not yet taken by the caller, twice as many as calls at most: a crash leaves them in doubt.
        self._not_given = 0
        self._given = asyncio.Event()
        self._taking = asyncio.Lock()
        # Held by the one that tries, while calls are made one at a time.
        self._trying = asyncio.Lock()
        # Held by the one whose turn is next, where the pace is limited: so no turn is taken that is not used.
        self._pacing = asyncio.Lock()
        self._repeatable_waiting = 0
        self._stopped_by: Exception | None = None
        self._any_success = False

    async def run(self, items: AsyncIterator[tuple[Name, Item]]) -> AsyncGenerator[tuple[Name, Result | ApiError]]:
        """
        Make the calls, once.

        :param items: Items with names of the caller's choice, taken no sooner than they can be called.
        :raises ApiError: Going on is pointless (keys refused, wrong host, outage): raised after the last outcome.
            Items without an outcome were not called.
        """
        workers = asyncio.create_task(self._work_all(items))
        workers.add_done_callback(lambda _: self._is_due.set())
        outcomes, is_due = self._outcomes, self._is_due
        try:
            while outcomes or not workers.done():
                await is_due.wait()
                is_due.clear()
                while outcomes:
                    yield outcomes.popleft()
                    self._not_given -= 1
                    self._given.set()
            await workers
        finally:
            workers.cancel()
            await asyncio.gather(workers, return_exceptions=True)
        if self._stopped_by is not None:
            raise self._stopped_by

    @property
    def _has_ended(self) -> bool:
        return self._stopped_by is not None or self._is_stopping()

    async def _work_all(self, items: AsyncIterator[tuple[Name, Item]]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work(items))

    async def _work(self, items: AsyncIterator[tuple[Name, Item]]) -> None:
        while not self._has_ended:
            while self._not_given >= 2 * self._concurrency:
                self._given.clear()
                await self._given.wait()
            self._not_given += 1
            try:
                async with self._taking:
                    # Another call may have ended the run while this one waited.
                    taken = None if self._has_ended else await anext(items, None)
            except Exception as error:  # the caller's own: let calls under way end, then raise it
                self._stop(error)
                return
            if taken is None:
                return
            name, item = taken
            outcome = await self._outcome(name, item)
            if outcome is None:
                return
            self._outcomes.append((name, outcome))
            self._is_due.set()

    async def _outcome(self, name: Name, item: Item) -> Result | ApiError | None:
        """Call one item until there is an outcome that stays; None if it was not called."""
        doubts: list[ApiError] = []
        last: ApiError | None = None
        sendings = 0
        while True:
            try:
                is_free = self._pace.is_full and not self._backoff.is_trying
                result = await (self._call_now if is_free else self._call_in_turn)(name, item)
            except _NotCalledError:
                break
            except RejectedError as error:
                error.after_doubt, error.sendings = bool(doubts), sendings + 1
                return error
            except ApiError as error:
                last = error
                sendings += error.was_sent
                doubts += [error] if error.in_doubt else []
                if self._has_ended or not self._is_called_again(item, error, len(doubts)):
                    break
            else:
                if isinstance(result, Receipt) and sendings:
                    return replace(result, after_doubt=bool(doubts), sendings=sendings + 1)
                return result
        # That a later call was certainly not accepted does not settle the doubt about an earlier one.
        outcome = doubts[-1] if doubts else last
        if outcome is not None:
            outcome.sendings = sendings
        return outcome

    async def _call_in_turn(self, name: Name, item: Item) -> Result:
        """
        Call an item as soon as the pace allows; alone, after all waiting, until LeadSquared has shown that it responds.

        :raises _NotCalledError: The run ended before.
        """
        may_repeat = self._may_repeat(item)
        while True:
            while self._backoff.is_trying:
                self._repeatable_waiting += may_repeat
                async with self._trying:
                    self._repeatable_waiting -= may_repeat
                    # If the call fails, an item that may be repeated is not left in doubt.
                    is_next = may_repeat or not self._repeatable_waiting
                    if self._backoff.is_trying and is_next and await self._may_try():
                        await self._wait_for_turn()
                        return await self._call_now(name, item)
            async with self._pacing:
                await self._wait_for_room()
                await self._wait_for_turn()
                if self._backoff.is_trying:  # others have failed meanwhile
                    continue
            return await self._call_now(name, item)

    async def _may_try(self) -> bool:
        """
        Wait until the next call may be made, and ask the probe if another item could be left in doubt.

        :raises _NotCalledError: The run ended before.
        """
        await self._wait_out_hold()
        error = self._backoff.last_error
        if self._probe is None or error is None or not error.in_doubt:
            return True
        await self._wait_for_turn()
        begun = self._backoff.begin()
        try:
            await self._probe()
        except ApiError as failure:
            # Any other failure is about the probe itself and says nothing.
            if _is_of_the_way(failure):
                self._note_failure(failure, begun)
                return False
        return True

    async def _wait_out_hold(self) -> None:
        is_logged = False
        while not self._has_ended:
            now = monotonic()
            if self._stop_if_exhausted(now):
                break
            wait = self._backoff.hold(now)
            if not wait:
                return
            if not is_logged:
                is_logged = True
                self._log.warning("%s. No call for %.0f s, then one to try", self._backoff.last_error, wait)
            await sleep(min(wait, _LONGEST_SLEEP))
        raise _NotCalledError

    async def _call_now(self, name: Name, item: Item) -> Result:
        if self._has_ended:
            raise _NotCalledError
        begun = self._backoff.begin()
        self._under_way += 1
        try:
            result = await self._call(name, item)
        except ApiError as error:
            self._note_failure(error, begun)
            raise
        finally:
            self._under_way -= 1
            self._call_ended.set()
        self._any_success = True
        if not self._pace.is_full:
            self._pace.speed_up(self._concurrency)
        if self._backoff.is_trying:
            self._note_success(begun)
        return result

    async def _wait_for_turn(self) -> None:
        """Wait as long as the calls a second are limited to."""
        left = self._pace.turn(monotonic())
        while left > 0 and not self._has_ended:
            await sleep(min(left, _LONGEST_SLEEP))
            left -= _LONGEST_SLEEP

    async def _wait_for_room(self) -> None:
        """Wait until fewer calls are under way than may be."""
        while self._under_way >= self._pace.room(self._concurrency) and not self._has_ended:
            self._call_ended.clear()
            await self._call_ended.wait()

    def _is_trouble(self, error: ApiError) -> bool:
        """Tell whether a failure may pass, and meanwhile other calls may fail as well."""
        # A path that responded before is there: somebody else responds now.
        return _is_of_the_way(error) or (isinstance(error, NoSuchPathError) and self._any_success)

    def _note_failure(self, error: ApiError, begun: int) -> None:
        if self._is_trouble(error):
            now = monotonic()
            if begun == self._backoff.begin():  # once for all calls that were under way
                self._pace.slow_down(self._concurrency)
            self._backoff.failed(error, begun, now)
            self._stop_if_exhausted(now)
        elif isinstance(error, _OF_ONE_ITEM):
            self._note_success(begun)
        elif isinstance(error, _FATAL):
            self._stop(error)

    def _note_success(self, begun: int) -> None:
        was_failing = self._backoff.last_error is not None
        self._backoff.succeeded(begun, monotonic())
        if was_failing and not self._backoff.is_trying:
            self._log.info("LeadSquared responds again: going on")

    def _stop_if_exhausted(self, now: float) -> bool:
        error = self._backoff.last_error
        if error is not None and self._backoff.exhausted(now):
            self._log.warning("No call has succeeded for %.0f s: given up", self._backoff.give_up_after)
            self._stop(error)
            return True
        return False

    def _stop(self, error: Exception) -> None:
        self._stopped_by = self._stopped_by or error

    def _is_called_again(self, item: Item, error: ApiError, doubts: int) -> bool:
        return self._is_trouble(error) and (not error.in_doubt or (self._may_repeat(item) and doubts < MAX_ATTEMPTS))


def _is_of_the_way(error: ApiError) -> bool:
    """Tell whether a failure is about the way to LeadSquared, whatever the call."""
    return error.transient or isinstance(error, UnexpectedResponseError)
