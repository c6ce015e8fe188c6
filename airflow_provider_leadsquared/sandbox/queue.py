"""
The life of a submitted lead: accepted, attempted, retried on the ladder, settled.

One worker makes all attempts in the order they fall due, at the account's rate. Nothing here runs by itself:
:meth:`Queue.run` makes every attempt that was due by a given moment, at the exact moment it was due, so the outcome
does not depend on how often somebody looks.
"""

from __future__ import annotations

import heapq
import logging
import math
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_leadsquared.sandbox.capture import Captured
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.settings import Settings

_LOG = logging.getLogger(__name__)

RATE_WINDOW = 600.0
"""Seconds over which the processing rate is told."""


class State(StrEnum):
    """Where a request really stands, whatever the status answer says."""

    WAITING = "waiting"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Fate:
    """What faults hold in store for one request."""

    system_errors: int = 0
    rejection: MXError | None = None
    lost: str | None = None
    """How a silently lost request shows: ``in_queue`` or ``unknown``."""
    hidden_looks: int = 0
    flap: tuple[str, ...] = ()
    flap_looks: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at processing a request."""

    at: float
    at_real: float
    outcome: str

    def as_json(self) -> dict[str, object]:
        """Return the attempt for read-back."""
        return {"at": self.at, "at_real": self.at_real, "outcome": self.outcome}


@dataclass(slots=True)
class Request:
    """One accepted submission and its history."""

    body: str
    behavior: str | None
    accepted_at: float
    accepted_real: float
    fate: Fate
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = State.WAITING
    attempts: list[Attempt] = field(default_factory=list)
    next_attempt_at: float | None = None
    settled_at: float | None = None
    settled_real: float | None = None
    captured: Captured | None = None
    rejection: MXError | None = None
    looks: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the request and its history for read-back."""
        return {
            "request_id": self.id,
            "state": self.state,
            "accepted_at": self.accepted_at,
            "accepted_real": self.accepted_real,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "next_attempt_at": self.next_attempt_at,
            "settled_at": self.settled_at,
            "settled_real": self.settled_real,
            "lead_id": self.captured.lead_id if self.captured else None,
            "is_created": self.captured.is_created if self.captured else None,
            "reason": str(self.rejection) if self.rejection else None,
            "looks": self.looks,
        }


class Queue:
    """
    All requests of one account.

    :param process: Captures the lead of a request at a moment; raises :class:`MXError` to refuse it.
    :param real: Tells the real time of a sandbox time.
    """

    def __init__(self, process: Callable[[Request, float], Captured], real: Callable[[float], float]) -> None:
        self.requests: dict[str, Request] = {}
        self.counts: Counter[State] = Counter()
        self.recent_rejects: deque[Request] = deque(maxlen=10)
        self._process = process
        self._real = real
        self._due: list[tuple[float, int, Request]] = []
        self._sequence = 0
        self._last_attempt_at = -math.inf
        self._attempted: deque[float] = deque()

    def accept(self, request: Request, settings: Settings) -> None:
        """
        Take a request in.

        :param request: The request.
        :param settings: How long it waits before its first attempt.
        """
        self.requests[request.id] = request
        self.counts[request.state] += 1
        self._schedule(request, request.accepted_at + settings.queue_delay)

    def run(self, until: float, settings: Settings) -> None:
        """
        Make every attempt that falls due.

        :param until: The moment to have arrived at.
        :param settings: Rate and ladder.
        """
        interval = 60.0 / settings.rate
        while self._due:
            at = max(self._due[0][0], self._last_attempt_at + interval)
            if at > until:
                break
            _, _, request = heapq.heappop(self._due)
            self._last_attempt_at = at
            self._attempted.append(at)
            self._attempt(request, at, settings)
        while self._attempted and self._attempted[0] <= until - RATE_WINDOW:
            self._attempted.popleft()

    def metrics(self, now: float, settings: Settings) -> tuple[int, int, float]:
        """
        Return how many requests wait for their turn, seconds until all had it, and attempts per minute.

        Requests parked until a retry do not count until it is due.

        :param now: The present; the queue has run until then.
        :param settings: The rate.
        """
        waiting = [due for due, _, request in self._due if request.state is State.WAITING or due <= now]
        worked_off = len(waiting) * 60.0 / settings.rate
        delay = max(worked_off, max(waiting, default=now) - now)
        return len(waiting), math.ceil(delay), len(self._attempted) * 60 / RATE_WINDOW

    def upcoming(self, count: int) -> Iterator[Request]:
        """
        Yield the requests whose attempts fall due next.

        :param count: How many at most.
        """
        return (request for _, _, request in heapq.nsmallest(count, self._due))

    def _attempt(self, request: Request, at: float, settings: Settings) -> None:
        request.next_attempt_at = None
        if request.fate.lost:
            self._move(request, State.LOST)
            return
        try:
            if len(request.attempts) < request.fate.system_errors:
                self._system_error(request, at, settings)
                return
            if request.fate.rejection:
                raise request.fate.rejection
            request.captured = self._process(request, at)
        except MXError as error:
            request.rejection = error
            self.recent_rejects.append(request)
            self._note(request, at, error.kind)
            self._settle(request, State.REJECTED, at)
        else:
            self._note(request, at, "success")
            self._settle(request, State.SUCCEEDED, at)

    def _system_error(self, request: Request, at: float, settings: Settings) -> None:
        self._note(request, at, "system error")
        retry = len(request.attempts) - 1
        if retry >= len(settings.retries):
            self._settle(request, State.FAILED, at)
            return
        # The listed times do not count the wait for the first attempt in either reading.
        start = at if settings.ladder == "gaps" else request.attempts[0].at
        self._move(request, State.RETRYING)
        self._schedule(request, max(at, start + settings.retries[retry]))

    def _note(self, request: Request, at: float, outcome: str) -> None:
        request.attempts.append(Attempt(at, self._real(at), outcome))
        _LOG.debug("request %s: attempt %d: %s", request.id, len(request.attempts), outcome)

    def _settle(self, request: Request, state: State, at: float) -> None:
        self._move(request, state)
        request.settled_at, request.settled_real = at, self._real(at)

    def _move(self, request: Request, state: State) -> None:
        self.counts[request.state] -= 1
        self.counts[state] += 1
        request.state = state

    def _schedule(self, request: Request, due: float) -> None:
        request.next_attempt_at = due
        self._sequence += 1
        heapq.heappush(self._due, (due, self._sequence, request))
