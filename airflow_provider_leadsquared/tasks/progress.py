"""The progress lines of tasks that work for long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pendulum import from_timestamp

if TYPE_CHECKING:
    from airflow_provider_leadsquared.tasks.poll_result import PollResult

#: Seconds between two lines.
_INTERVAL = 10.0


class Progress:
    """
    Log how far a task is, a line every ten seconds.

    :param log: The task's log.
    :param action: What is done with the rows, a past participle: ``Submitted``.
    :param what: What is counted, in the plural: ``leads``.
    :param total: How many there are; None if that is not known.
    """

    def __init__(self, log: Any, action: str, what: str, total: int | None = None) -> None:
        self._log, self._action, self._what, self._total = log, action, what, total
        self._started = self._reported = time.monotonic()

    def report(self, done: int, note: str = "", *, at_once: bool = False) -> None:
        """
        Log a line if the last one is old enough.

        :param done: How many are done.
        :param note: More to say, appended.
        :param at_once: Log it however old the last line is.
        """
        now = time.monotonic()
        if not at_once and now - self._reported < _INTERVAL:
            return
        self._reported = now
        rate = done / (now - self._started) if now > self._started else 0.0
        of_total = "" if self._total is None else f" of {self._total:,}"
        left = ""
        if self._total is not None and rate and done < self._total:
            left = f", about {(self._total - done) / rate:,.0f} s left"
        self._log.info("%s", f"{self._action} {done:,}{of_total} {self._what} at {rate:,.0f} a second{note}{left}")


def log_poll(log: Any, result: PollResult, wait: float) -> None:
    """
    Log what a poll has shown, and when the next one comes.

    :param wait: Seconds until then.
    """
    if result.trouble is not None:
        log.warning("LeadSquared could not be asked: %s", result.trouble)
    log.info(
        "Asked for %s of %s requests, %s are open. Next poll at %s, in %.1f s",
        f"{result.asked:,}",
        f"{len(result.entries):,}",
        f"{len(result.open):,}",
        from_timestamp(time.time() + wait).isoformat(timespec="milliseconds"),
        wait,
    )
