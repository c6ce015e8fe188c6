"""The trigger that polls for a deferred sensor."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

if TYPE_CHECKING:
    from airflow_provider_leadsquared.tasks.triggered import TriggeredWait

Result = TypeVar("Result")

#: How many triggers of one triggerer poll at the same time.
_THREADS = 16
#: Seconds between two tries to read the connection and the ledgers.
_WAITS = (5.0, 10.0, 20.0, 40.0)


class LeadStatusTrigger(BaseTrigger):
    """
    Poll for the requests of one deferred task, by the same plan and function as the task would.

    The trigger writes nothing. It fires when all requests have their verdicts or the wait is over; before that after
    1,000 verdicts, but not sooner than five minutes after its start, or when its event would hold 10,000 requests. The
    task records what was shown, and defers again if requests are open. A trigger that is ended and started anew asks
    again for what it had not reported.

    Polls run in threads of their own, so the triggerer's event loop is free. Trouble on the way to LeadSquared is
    waited for; any other error is reported to the task by its class, and the task polls itself to see it.

    :param leadsquared_conn_id: The LeadSquared connection.
    :param ledgers: The addresses of the SQL ledgers that hold the requests.
    :param requests: The requests that are in none of them.
    :param metadata: What earlier polls have kept.
    :param timeout: Seconds after the last acceptance at which the wait is over.
    :param close_after: Seconds after the last acceptance at which it ends well; None for never.
    :param reports_groups: Whether to fire while requests are open.
    """

    def __init__(
        self,
        *,
        leadsquared_conn_id: str,
        timeout: float,
        ledgers: Sequence[Mapping[str, Any]] = (),
        requests: Sequence[Sequence[Any]] = (),
        metadata: Mapping[str, Any] | None = None,
        close_after: float | None = None,
        reports_groups: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.leadsquared_conn_id = leadsquared_conn_id
        self.timeout, self.close_after = timeout, close_after
        self.ledgers, self.requests, self.metadata = list(ledgers), list(requests), dict(metadata or {})
        self.reports_groups = reports_groups
        self._stopping = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, as Airflow keeps them in its database."""
        return (
            f"{type(self).__module__}.{type(self).__name__}",
            {
                "leadsquared_conn_id": self.leadsquared_conn_id,
                "timeout": self.timeout,
                "ledgers": self.ledgers,
                "requests": self.requests,
                "metadata": self.metadata,
                "close_after": self.close_after,
                "reports_groups": self.reports_groups,
            },
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.leadsquared_conn_id!r})"

    async def run(self) -> AsyncGenerator[TriggerEvent]:
        """Poll until it is time to report, and report once."""
        waiting: TriggeredWait | None = None
        failure: str | None = None
        try:
            waiting = await self._opened()
            wait: float | None = await _in_thread(waiting.first_wait)
            while wait is not None:
                await sleep(wait)
                if await _in_thread(waiting.is_group_due):
                    break
                wait = await _in_thread(waiting.poll, self._is_stopping)
        except Exception as error:
            failure = type(error).__name__
            # The texts of other errors may hold what is in connections.
            self.log.warning("Could not poll: %s", error if isinstance(error, LeadSquaredError) else failure)
        finally:
            # A poll that is under way in its thread ends soon.
            self._stopping = True
        yield TriggerEvent(await _in_thread(_event, waiting, failure))  # type: ignore[no-untyped-call]  # Airflow's own has no types

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _opened(self) -> TriggeredWait:
        """Read the connection and the ledgers, again while a failure may pass."""
        for wait in _WAITS:
            try:
                return await self._open()
            except Exception as error:
                if not _may_pass(error):
                    raise
                self.log.warning("%s. The next try is made in %.0f s", type(error).__name__, wait)
            await sleep(wait)
        return await self._open()

    async def _open(self) -> TriggeredWait:
        hook = LeadSquaredHook(self.leadsquared_conn_id)
        await hook.load_account()
        return await _in_thread(self._open_ledgers, hook)

    def _open_ledgers(self, hook: LeadSquaredHook) -> TriggeredWait:
        # Imported here, in a thread: this takes longer than a triggerer's event loop may be held up.
        from airflow_provider_leadsquared.tasks.time_limits import TimeLimits
        from airflow_provider_leadsquared.tasks.triggered import TriggeredWait

        return TriggeredWait(
            hook,
            self.log,
            ledgers=self.ledgers,
            requests=self.requests,
            metadata=self.metadata,
            limits=TimeLimits(self.timeout, self.close_after),
            reports_groups=self.reports_groups,
            clock=time.time,
        )


def _event(waiting: TriggeredWait | None, failure: str | None) -> dict[str, Any]:
    from airflow_provider_leadsquared.tasks.trigger_messages import Report

    report = Report([], {}, 0.0, failure) if waiting is None else waiting.report(failure)
    return report.as_json()


def _may_pass(error: Exception) -> bool:
    from airflow_provider_leadsquared.exceptions import LedgerUnavailableError

    return isinstance(error, LedgerUnavailableError) or not isinstance(error, (LeadSquaredError, ValueError))


@cache
def _threads() -> ThreadPoolExecutor:
    """Return threads that no other trigger waits for."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="leadsquared")


async def _in_thread(act: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that may block. ``asgiref`` lets it read connections from a thread on every Airflow."""
    call: Callable[..., Any] = sync_to_async(act, thread_sensitive=False, executor=_threads())
    result: Result = await call(*arguments)
    return result
