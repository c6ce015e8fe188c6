"""One LeadSquared account: settings, clock, leads, queue, faults and records, without any sockets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping

from airflow_provider_leadsquared.sandbox.async_apis import AsyncApi
from airflow_provider_leadsquared.sandbox.capture import CaptureResult, Pair, capture
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.faults import Faults
from airflow_provider_leadsquared.sandbox.fields import LeadField, Schema, match_form
from airflow_provider_leadsquared.sandbox.queue import PlannedOutcome, Queue, Request, new_request_id
from airflow_provider_leadsquared.sandbox.record import Poll, Post
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Store

LIMIT_WINDOW = 5.0
"""The call limit counts the calls of this many sandbox seconds."""


class Account:
    """
    One account, all of it in memory.

    :param settings: The switches at the start and after a reset.
    :param fields: Lead fields in addition to the built-in ones.
    :param clock: The clock.
    """

    def __init__(self, settings: Settings, fields: Iterable[LeadField], clock: Clock) -> None:
        self.schema = Schema(fields)
        self.clock = clock
        self._initial_settings = settings
        self.reset()

    def reset(self) -> None:
        """Delete everything except the clock, and set every switch to its value at the start."""
        self.settings = self._initial_settings
        self.store = Store(self._match_form)
        self.queue = Queue(self._process, self.clock.real_time)
        self.faults = Faults()
        self.posts: list[Post] = []
        self.polls: list[Poll] = []
        self.last_receipt: str | int | None = None
        """The RequestID of the last normal receipt, as it was sent."""
        self._calls: deque[float] = deque()

    def run_due(self) -> float:
        """Make every attempt that is due, and return sandbox time now."""
        now = self.clock.now()
        self.queue.run(now, self.settings)
        return now

    def server_time(self) -> float | None:
        """Return the time that responses have in their ``Date`` header, None if they have none."""
        settings, now = self.settings, self.clock.now()
        match settings.date_header:
            case "missing":
                return None
            case "sandbox":
                return now + settings.date_offset
            case _:
                return time.time() + settings.date_offset

    def change(self, switches: Mapping[str, object]) -> None:
        """
        Set switches from now on.

        :param switches: Names and values.
        :raises ValueError: If a switch does not exist or a value is wrong. Then nothing is changed.
        """
        changed = self.settings.changed(switches)
        self.run_due()
        self.settings = changed
        self.store.forget_indexes()

    def move_clock(self, seconds: float = 0.0, speed: float | None = None) -> None:
        """
        Advance the clock and make every attempt that becomes due, then set the speed.

        :param seconds: Sandbox seconds to advance.
        :param speed: Sandbox seconds per real second from then on; None leaves the speed as it is.
        :raises ValueError: If a value is out of the clock's range.
        """
        self.run_due()
        self.clock.advance(seconds)
        if speed is not None:
            self.clock.set_speed(speed)
        self.run_due()

    def submit(self, api: AsyncApi, body: str, parameters: Mapping[str, str], planned: PlannedOutcome) -> Request:
        """
        Accept a request into the queue; its body is not processed yet.

        :param api: The API to which it was submitted.
        :param body: The submitted text.
        :param parameters: Query parameters except the keys; names are in lower case.
        :param planned: What faults plan for the request.
        """
        now = self.clock.now()
        request_id = new_request_id(self.settings.request_id_form)
        request = Request(api, body, parameters, now, self.clock.real_time(now), planned, request_id)
        self.queue.accept(request, self.settings)
        return request

    def capture(self, pairs: list[Pair], behavior: str | None, at: float | None = None) -> CaptureResult:
        """
        Capture a lead at once.

        :param pairs: The lead.
        :param behavior: ``LeadUpdateBehavior``, None if not given.
        :param at: Sandbox time, now by default.
        :raises MXError: If the lead is rejected.
        """
        at = self.clock.now() if at is None else at
        return capture(self.store, self.schema, self.settings, pairs, behavior, at)

    def is_over_limit(self) -> bool:
        """Count one call, and return whether it exceeds the call limit."""
        if not self.settings.rate_limit:
            return False
        now = self.clock.now()
        while self._calls and self._calls[0] <= now - LIMIT_WINDOW:
            self._calls.popleft()
        if len(self._calls) >= self.settings.rate_limit:
            return True
        self._calls.append(now)
        return False

    def _match_form(self, field: str, value: str) -> str:
        return match_form(self.schema.fields.get(field), value, self.settings)

    def _process(self, request: Request, at: float) -> Mapping[str, object]:
        return request.api.handler.process(self, request, at)
