"""One LeadSquared account: its settings, clock, leads, queue, faults and record, without any sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from airflow_provider_leadsquared.sandbox.capture import Captured, Pair, capture, read_pairs
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.faults import Faults
from airflow_provider_leadsquared.sandbox.fields import LeadField, Schema
from airflow_provider_leadsquared.sandbox.queue import Fate, Queue, Request
from airflow_provider_leadsquared.sandbox.record import Look, Post
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Store

LIMIT_WINDOW = 5.0
"""Sandbox seconds over which calls are limited."""


class Account:
    """
    One account, entirely in memory.

    :param settings: The switches to begin with, and to return to at a reset.
    :param fields: Lead fields besides the built-in ones.
    :param clock: The time it lives in.
    """

    def __init__(self, settings: Settings, fields: Iterable[LeadField], clock: Clock) -> None:
        self.schema = Schema(fields)
        self.clock = clock
        self._initial_settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything but the clock, and set every switch as it was at the start."""
        self.settings = self._initial_settings
        self.store = Store()
        self.queue = Queue(self._process, self.clock.real)
        self.faults = Faults()
        self.posts: list[Post] = []
        self.looks: list[Look] = []
        self._calls: deque[float] = deque()

    def catch_up(self) -> float:
        """Let everything happen that is due, and return the present."""
        now = self.clock.now()
        self.queue.run(now, self.settings)
        return now

    def change(self, switches: Mapping[str, object]) -> None:
        """
        Set switches from now on.

        :param switches: Names and values.
        :raises ValueError: When one does not exist; nothing is changed then.
        """
        changed = self.settings.changed(switches)
        self.catch_up()
        self.settings = changed

    def move_clock(self, seconds: float = 0.0, speed: float | None = None) -> None:
        """
        Jump forward, or run at another speed.

        :param seconds: Sandbox seconds to jump.
        :param speed: The speed from then on; as it is when left out.
        :raises ValueError: When the clock cannot do that.
        """
        self.catch_up()
        self.clock.advance(seconds)
        if speed is not None:
            self.clock.set_speed(speed)
        self.catch_up()

    def submit(self, body: str, behavior: str | None, fate: Fate) -> Request:
        """
        Put a lead into the queue, unread.

        :param body: The submitted text.
        :param behavior: ``LeadUpdateBehavior``.
        :param fate: What faults hold in store for it.
        """
        now = self.clock.now()
        request = Request(body, behavior, now, self.clock.real(now), fate)
        self.queue.accept(request, self.settings)
        return request

    def capture(self, pairs: list[Pair], behavior: str | None, at: float | None = None) -> Captured:
        """
        Capture a lead at once.

        :param pairs: The lead.
        :param behavior: ``LeadUpdateBehavior``.
        :param at: Sandbox time; now when left out.
        :raises MXError: When the lead is refused.
        """
        at = self.clock.now() if at is None else at
        return capture(self.store, self.schema, self.settings, pairs, behavior, at)

    def is_over_limit(self) -> bool:
        """Count a call against the call limit, and say whether it exceeds it."""
        if not self.settings.rate_limit:
            return False
        now = self.clock.now()
        while self._calls and self._calls[0] <= now - LIMIT_WINDOW:
            self._calls.popleft()
        if len(self._calls) >= self.settings.rate_limit:
            return True
        self._calls.append(now)
        return False

    def _process(self, request: Request, at: float) -> Captured:
        return self.capture(read_pairs(request.body), request.behavior, at)
