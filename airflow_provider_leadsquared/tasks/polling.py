"""One poll of a set of requests: ask for those that are due, record what was received, say when to poll next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NoSuchPathError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.retry_gates import has_ended
from airflow_provider_leadsquared.delivery.status_judging import (
    is_failed_attempt,
    judge,
    says_unknown,
)
from airflow_provider_leadsquared.ledgers.base import Records, VerdictLedger
from airflow_provider_leadsquared.tasks.event_loop import run_calls
from airflow_provider_leadsquared.tasks.known_requests import KnownRequests, is_decided
from airflow_provider_leadsquared.tasks.metrics import count_poll
from airflow_provider_leadsquared.tasks.planning import (
    ask_for_metrics,
    asked_first,
    learnt_metadata,
    make_plan,
    noted,
    wait_for_first,
)
from airflow_provider_leadsquared.tasks.poll_result import PollResult

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.responses import RequestStatus
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.delivery.poll_spacing import Spacing
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: While a poll is under way, verdicts are written when there are this many, or when this many seconds have passed.
GROUP_ROWS, _GROUP_SECONDS = 1_000, 5.0
#: When some requests could not be asked for, the next poll follows after this share of the age of the youngest of them,
#: within bounds in seconds.
_TROUBLE_SHARE, _TROUBLE_MIN, _TROUBLE_MAX = 0.1, 30.0, 900.0
#: Seconds by which two times in whole seconds may differ although they are the same.
_SAME_SECOND = 1.0


def poll(
    hook: LeadSquaredHook,
    ledger: VerdictLedger,
    requests: Iterable[Entry],
    *,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool],
    records: Records | None = None,
    writer: Executor | None = None,
    spacing: Spacing | None = None,
) -> PollResult:
    """
    Poll once; safe to repeat at any point.

    A request with a verdict in the ledger is never asked for again, unless the verdict is that LeadSquared lost it.
    What could not be asked for is asked for again soon, whatever came in place of a response; if LeadSquared refuses
    the keys, what was received is kept and the error is raised.

    :param hook: What asks; its account has the retry ladder.
    :param ledger: Where verdicts are kept.
    :param requests: The requests.
    :param clock: Tells the time on this worker, in seconds since the epoch.
    :param is_stopping: Once it returns True no further request is asked for, and the poll counts as not made.
    :param records: What the ledger holds, besides the requests as they are given. Default: read from the ledger.
    :param writer: What writes to the ledger while calls go on. Default: a thread.
    :param spacing: How far polls are apart. Default: as suits a task that is started for each.
    :raises AuthenticationError: LeadSquared refuses the keys.
    :raises NoSuchPathError: Its gateway has no such path, and no poll before had a response.
    """
    known = KnownRequests(ledger.load() if records is None else records, requests, clock)
    return _Poll(hook, ledger, known, is_stopping, writer, spacing).run()


class _Poll:
    """One poll while it is under way; all its times are LeadSquared's."""

    def __init__(
        self,
        hook: LeadSquaredHook,
        ledger: VerdictLedger,
        known: KnownRequests,
        is_stopping: Callable[[], bool],
        writer: Executor | None,
        spacing: Spacing | None,
    ) -> None:
        self._hook, self._ledger, self._is_stopping = hook, ledger, is_stopping
        self._writer = writer
        self._spacing = spacing
        self._ladder, self._speed = hook.account.ladder, hook.account.sandbox_speed
        self._trouble: ApiError | None = None
        self._unknown: list[tuple[str, UnknownRequestError]] = []
        #: Seconds from acceptance to verdict, of what this poll showed to be decided.
        self._waits: list[float] = []
        self._path_works = False
        self._known = known
        self._plan = self._make_plan()

    def run(self) -> PollResult:
        """Ask, record, and say when to poll next."""
        is_made = False
        try:
            if self._known.by_request:
                wait_for_first(self._plan, self._known.now, self._is_stopping)
                run_calls(self._ask())
            if not self._is_stopping():
                self._judge_unknown()
                if self._trouble is None and self._plan.standing():
                    self._write()  # these calls may take long
                    ask_for_metrics(self._hook, self._plan)
                self._plan.end()
                is_made = True
        except ApiError as error:
            if not self._may_pass(error):
                raise
            self._trouble = error
        finally:
            self._note_asked()
            self._write(self._new_metadata(is_made=is_made))
            count_poll(self._plan.asked, self._waits)
        return self._known.result(asked=self._plan.asked, next_at=self._next_at(), trouble=self._trouble)

    async def _ask(self) -> None:
        written_at = time.monotonic()
        early = await self._ask_for_the_time()
        for wave in self._plan.waves(self._known.now(), [*early, *asked_first(self._known.by_request)]):
            for request_id in early.keys() & set(wave):
                self._receive(request_id, early[request_id])
            async for request_id, outcome in self._outcomes(one for one in wave if one not in early):
                self._receive(request_id, outcome)
                is_due = time.monotonic() - written_at >= _GROUP_SECONDS
                if self._known.unwritten and (is_due or self._known.unwritten >= GROUP_ROWS):
                    group = self._known.take_unwritten()
                    written_at = time.monotonic()
                    await asyncio.get_running_loop().run_in_executor(self._writer, self._ledger.write, group)
            if self._is_stopping():
                return
        if self._unknown and not self._path_works:
            await self._prove_path()

    def _write(self, metadata: dict[str, Any] | None = None) -> None:
        """Write what is unwritten, in groups; the metadata last, when all entries are durable."""
        entries = self._known.take_unwritten()
        whole = len(entries) - len(entries) % GROUP_ROWS
        for start in range(0, whole, GROUP_ROWS):
            self._ledger.write(entries[start : start + GROUP_ROWS])
        self._ledger.write(entries[whole:], metadata=metadata)

    def _outcomes(self, request_ids: Iterable[str]) -> AsyncGenerator[tuple[str, RequestStatus | ApiError]]:
        asked = [(request_id, self._known.by_request[request_id].api) for request_id in request_ids]
        return self._hook.get_request_statuses(asked, is_stopping=self._is_stopping)

    async def _ask_for_the_time(self) -> dict[str, RequestStatus | ApiError]:
        """Ask for the oldest request as long as LeadSquared's time is not known: the plan needs it."""
        if self._known.offset.is_known:
            return {}
        oldest = min(self._known.by_request.values(), key=self._known.accepted_at)
        early = {request_id: outcome async for request_id, outcome in self._outcomes([str(oldest.request_id)])}
        for request_id, outcome in early.items():
            self._known.learn_time(self._server_time(request_id, outcome))
        self._plan = self._make_plan()
        return early

    def _make_plan(self) -> PollPlan:
        return make_plan(self._hook.account, self._known, self._spacing)

    def _note_asked(self) -> None:
        """Record of the requests that are open what the plan has to know in the next process."""
        for request_id, entry in noted(self._plan, self._known.by_request):
            self._known.update(request_id, entry)

    async def _prove_path(self) -> None:
        """Ask for a request that has its verdict: if it is found, neither path nor a server on the way is at fault."""
        settled = [
            (entry.settled_at or 0.0, entry.request_id, entry.api)
            for entry in self._known.entries
            if is_decided(entry) and entry.request_id is not None and not entry.state.is_not_sent
        ]
        if settled:
            _, request_id, api = max(settled)
            asked = [(request_id, api)]
            async for _, outcome in self._hook.get_request_statuses(asked, is_stopping=self._is_stopping):
                self._path_works = not isinstance(outcome, ApiError)

    def _receive(self, request_id: str, outcome: RequestStatus | ApiError) -> None:
        self._known.learn_time(self._server_time(request_id, outcome))
        if isinstance(outcome, UnknownRequestError):
            # Judged when all responses are there: one of them may show that the path works.
            self._unknown.append((request_id, outcome))
            self._plan.answer(request_id, settled=False)
            return
        if isinstance(outcome, ApiError):
            self._trouble = outcome
        else:
            self._path_works = True
        self._record(request_id, outcome)

    def _judge_unknown(self) -> None:
        for request_id, outcome in self._unknown:
            if not says_unknown(outcome, path_works=self._path_works):
                self._trouble = outcome
            self._record(request_id, outcome)

    def _record(self, request_id: str, outcome: RequestStatus | ApiError) -> None:
        entry = self._known.by_request[request_id]
        server_time = self._server_time(request_id, outcome)
        now = self._known.now() if server_time is None else server_time
        unknown_since = entry.unknown_since if isinstance(outcome, ApiError) else None
        if says_unknown(outcome, path_works=self._path_works) and unknown_since is None:
            unknown_since = now
        ladder_ended = has_ended(
            self._ladder, self._known.accepted_at(entry), entry.attempted_by, now, speed=self._speed
        )
        verdict = judge(
            outcome,
            ladder_ended=ladder_ended,
            unknown_for=0.0 if unknown_since is None else (now - unknown_since) * self._speed,
            path_works=self._path_works,
        )
        if not isinstance(outcome, ApiError):
            self._plan.answer(request_id, settled=verdict.state.is_final, attempted=is_failed_attempt(verdict))
        if entry.is_lost and isinstance(outcome, ApiError):
            return
        judged = entry.judged(verdict, now, unknown_since=unknown_since)
        if judged != entry:
            self._known.update(request_id, judged)
            if judged.state.is_final:
                self._waits.append(max(now - self._known.accepted_at(entry), 0.0))

    def _next_at(self) -> float | None:
        """Return when to poll next, on LeadSquared's clock; soon if some requests could not be asked for."""
        now = self._known.now()
        for request_id, entry in self._known.by_request.items():
            if entry.state.is_final:
                self._plan.settle(request_id)
        if not self._plan.open:
            return None
        next_at = self._plan.next_poll(now)
        if self._trouble is None:
            return next_at
        youngest = max(self._known.accepted_at(self._known.by_request[request_id]) for request_id in self._plan.open)
        wait = min((now - youngest) * _TROUBLE_SHARE, _TROUBLE_MAX / self._speed)
        soon = now + max(wait, _TROUBLE_MIN)
        # Where nothing was answered, what is due or soon will be is no reason to ask earlier.
        return min(next_at, soon) if self._path_works and next_at > now else soon

    def _may_pass(self, error: ApiError) -> bool:
        """Tell trouble on the way from wrong settings: keys, or a path at which no poll has found anything yet."""
        if isinstance(error, NoSuchPathError):
            return self._path_works or self._known.metadata.get("answered_at") is not None
        return not isinstance(error, (AuthenticationError, ConfigurationError))

    def _server_time(self, request_id: str, outcome: RequestStatus | ApiError) -> float | None:
        """Return the time that a response states; None also for one that is older than the request: a stored copy."""
        time: float | None = getattr(outcome, "server_time", None)
        accepted_at = self._known.by_request[request_id].accepted_at
        is_stale = time is not None and accepted_at is not None and time < accepted_at - _SAME_SECOND
        return None if is_stale else time

    def _new_metadata(self, *, is_made: bool) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        if is_made:
            metadata |= learnt_metadata(self._plan, self._known)
        if self._path_works:
            metadata["answered_at"] = self._known.now()
        return metadata | self._known.clock_metadata()
