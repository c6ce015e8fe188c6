"""Polling in a triggerer: nothing is written there; what polls have shown is kept until the task is to record it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.poll_spacing import DEFERRED
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.tasks.known_requests import KnownRequests, is_decided, one_for_each_request
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import open_requests_of_captures, open_requests_of_sync
from airflow_provider_leadsquared.tasks.planning import make_plan
from airflow_provider_leadsquared.tasks.polling import poll
from airflow_provider_leadsquared.tasks.progress import log_poll
from airflow_provider_leadsquared.tasks.trigger_messages import Report, entry_of, poll_metadata

if TYPE_CHECKING:
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.time_limits import TimeLimits

#: So many verdicts are worth the start of a worker, but not sooner than so many seconds after the last.
GROUP_VERDICTS, GROUP_SECONDS = 1_000, 300.0
#: An event holds about so many requests at most.
LARGEST_EVENT = 10_000


class TriggeredWait:
    """
    The requests that a trigger waits for.

    Every method may block: it reads ledgers or calls LeadSquared.

    :param hook: What asks; its account is loaded.
    :param log: The trigger's log: Airflow shows it among the task's.
    :param ledgers: The addresses of SQL ledgers that hold requests: of captures, or of the runs of one sync.
    :param requests: Requests that are in none of them, as lines.
    :param metadata: What earlier polls have kept.
    :param limits: When the wait ends although requests are open.
    :param reports_groups: Whether verdicts are reported while others are awaited.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        hook: LeadSquaredHook,
        log: Any,
        *,
        ledgers: Sequence[Mapping[str, Any]],
        requests: Sequence[Sequence[Any]],
        metadata: Mapping[str, Any],
        limits: TimeLimits,
        reports_groups: bool,
        clock: Callable[[], float],
    ) -> None:
        self._hook, self._log, self._limits = hook, log, limits
        self._reports_groups, self._clock = reports_groups, clock
        self._begun_at = clock()
        found = one_for_each_request(
            [*_held_in(ledgers, hook), *(entry_of(line) for line in requests)],
            lambda entry: entry.accepted_at or self._begun_at,
        )
        #: The requests as they are in the ledger, by RequestId.
        self._before = {
            request_id: replace(entry, row=row, row_key=None, fingerprint="", copy=0)
            for row, (request_id, entry) in enumerate(_open_and_newest(found).items())
        }
        self._ledger = InProcessLedger()
        self._ledger.write(self._before.values(), metadata=poll_metadata(metadata))

    def first_wait(self) -> float:
        """Return how many seconds later the first poll is worth while."""
        known = KnownRequests(self._ledger.load(), self._before.values(), self._clock)
        if not known.by_request:
            return 0.0
        plan = make_plan(self._hook.account, known, DEFERRED)
        until = min(plan.next_poll(known.now()), self._limits.ends_at(list(known.by_request.values()), known.now()))
        return max(until - known.now(), 0.0)

    def poll(self, is_stopping: Callable[[], bool]) -> float | None:
        """
        Poll once.

        :param is_stopping: Once it returns True no further request is asked for.
        :return: Seconds until the next poll; None if it is time to report.
        :raises AuthenticationError: LeadSquared refuses the keys.
        :raises NoSuchPathError: Its gateway has no such path, and no poll before had a response.
        """
        result = poll(
            self._hook,
            self._ledger,
            self._before.values(),
            clock=self._clock,
            is_stopping=is_stopping,
            spacing=DEFERRED,
        )
        now = self._clock() + result.clock_offset
        ends_at = self._limits.ends_at(result.open, now)
        if not result.open or now >= ends_at or self.is_group_due():
            if result.trouble is not None:
                self._log.warning("LeadSquared could not be asked: %s", result.trouble)
            return None
        wait = min(result.next_at or ends_at, ends_at) - now
        if self._reports_groups and self._count_verdicts() >= GROUP_VERDICTS:
            wait = min(wait, self._begun_at + GROUP_SECONDS - self._clock())
        wait = max(wait, DEFERRED.shortest)
        log_poll(self._log, result, wait)
        return wait

    def is_group_due(self) -> bool:
        """Tell whether so many verdicts are there, for so long, that the task has to record them."""
        if not self._reports_groups:
            return False
        is_worth = self._count_verdicts() >= GROUP_VERDICTS and self._clock() - self._begun_at >= GROUP_SECONDS
        return is_worth or len(self._changed()) >= LARGEST_EVENT

    def report(self, error: str | None = None) -> Report:
        """
        Return what the polls have shown.

        :param error: The class of the error that ended them.
        """
        # Verdicts come first, then for how long a request is unknown; all else another poll can learn again.
        changed = sorted(self._changed(), key=lambda entry: (not is_decided(entry), entry.unknown_since is None))
        verdicts = sum(is_decided(entry) for entry in changed)
        metadata = dict(self._ledger.load().metadata)
        now = self._clock() + metadata.get("clock_offset", 0.0)
        return Report(changed[: max(verdicts, LARGEST_EVENT)], metadata, now, error)

    def _changed(self) -> list[Entry]:
        return [entry for entry in self._ledger.load().entries.values() if entry != self._before[str(entry.request_id)]]

    def _count_verdicts(self) -> int:
        return sum(is_decided(entry) for entry in self._changed())


def _held_in(ledgers: Sequence[Mapping[str, Any]], hook: LeadSquaredHook) -> list[Entry]:
    """Return the requests in ledgers."""
    addresses = [LedgerAddress.parse(address) for address in ledgers]
    if not addresses:
        return []
    if addresses[0].sync is not None:
        return open_requests_of_sync(addresses, hook).load().all_entries
    runs = [address.run for address in addresses if address.run is not None]
    captures = open_requests_of_captures(addresses, hook, polled_by=runs[0])
    return [entry for capture in captures.values() for entry in capture.entries()]


def _open_and_newest(found: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the requests to ask for, and the one whose verdict is the newest; see ``requests_for_trigger``."""
    kept = {request_id: entry for request_id, entry in found.items() if not is_decided(entry)}
    decided = [entry for entry in found.values() if is_decided(entry)]
    if kept and decided:
        newest = max(decided, key=lambda entry: entry.settled_at or 0.0)
        kept[str(newest.request_id)] = newest
    return kept
