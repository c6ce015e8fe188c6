"""
The queue of one account: requests are accepted, attempted, retried on the ladder, and settled.

One worker makes all attempts in the order of their due times, at the account's rate. Nothing here runs by itself:
:meth:`Queue.run` makes every attempt that was due until a given time, with exactly the time at which it was due. So
the outcome does not depend on how often a client polls.
"""

from __future__ import annotations

import heapq
import logging
import math
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_leadsquared.sandbox.async_apis import AsyncApi
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.settings import Settings

_LOG = logging.getLogger(__name__)

RATE_WINDOW = 600.0
"""Sandbox seconds over which the processing rate in the metrics is measured."""


class State(StrEnum):
    """The real state of a request, whatever status a poll gets."""

    WAITING = "waiting"
    """Not yet attempted."""
    RETRYING = "retrying"
    """A system error; a retry is due later."""
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    """An application error. It is not retried."""
    FAILED = "failed"
    """A system error at the last retry."""
    LOST = "lost"
    """Dropped by a ``silent_loss`` fault."""


@dataclass(frozen=True, slots=True)
class PlannedOutcome:
    """What faults plan for one request; the defaults are no fault."""

    system_errors: int = 0
    """How many attempts fail with a system error first."""
    rejection: MXError | None = None
    """The error that rejects the request when it is processed."""
    lost_status: str | None = None
    """Not None: the request is never processed. What its polls get: ``in_queue`` or ``unknown``."""
    hidden_polls: int = 0
    """For how many polls the RequestID is unknown."""
    flap_statuses: tuple[str, ...] = ()
    """The statuses that the first ``flap_polls`` polls get in turn."""
    flap_polls: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at processing a request; ``at`` is sandbox time, ``at_real`` real time."""

    at: float
    at_real: float
    outcome: str

    def as_json(self) -> dict[str, object]:
        """Return the attempt as JSON."""
        return {"at": self.at, "at_real": self.at_real, "outcome": self.outcome}


def new_request_id(form: str) -> str:
    """
    Return a new RequestID.

    :param form: The switch ``request_id_form``.
    """
    new = uuid.uuid4()
    match form:
        case "upper":
            return str(new).upper()
        case "number":
            return str(10**14 + new.int % 10**14)
        case "text":
            return f"LC/{new.hex[:16]}+=="
        case _:
            return str(new)


@dataclass(slots=True)
class Request:
    """One accepted submission and its history. Times are in seconds since 1970; names in ``_real`` are real time."""

    api: AsyncApi
    body: str
    parameters: Mapping[str, str]
    """Query parameters of the submission except the keys; names are in lower case."""
    accepted_at: float
    accepted_real: float
    planned: PlannedOutcome
    id: str = field(default_factory=lambda: new_request_id("uuid"))
    state: State = State.WAITING
    attempts: list[Attempt] = field(default_factory=list)
    next_attempt_at: float | None = None
    settled_at: float | None = None
    settled_real: float | None = None
    result: Mapping[str, object] | None = None
    """What the handler of its API returned, None until it succeeds."""
    rejection: MXError | None = None
    polls: int = 0
    """How many polls of its status were received."""

    @property
    def id_as_sent(self) -> str | int:
        """The id as responses have it: a number if the account's ids are numbers."""
        return int(self.id) if self.id.isdecimal() else self.id

    @property
    def reason(self) -> str | None:
        """Why the request is rejected, None if it is not."""
        return str(self.rejection) if self.rejection else None

    @property
    def lead_id(self) -> str | None:
        """The id of the lead that it has captured, None if there is none."""
        lead_id = self._details.get("RelatedId")
        return lead_id if isinstance(lead_id, str) else None

    @property
    def _details(self) -> Mapping[str, object]:
        message = self.result.get("Message") if self.result else None
        return message if isinstance(message, Mapping) else {}

    def as_json(self) -> dict[str, object]:
        """Return the request and its history as JSON."""
        return {
            "request_id": self.id,
            "api": self.api.name,
            "state": self.state,
            "accepted_at": self.accepted_at,
            "accepted_real": self.accepted_real,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "next_attempt_at": self.next_attempt_at,
            "settled_at": self.settled_at,
            "settled_real": self.settled_real,
            "lead": self.api.read_lead(self.body),
            "lead_id": self.lead_id,
            "is_created": self._details.get("IsCreated"),
            "result": self.result,
            "reason": self.reason,
            "because_of_lead_id": self.rejection.lead_id if self.rejection else None,
            "polls": self.polls,
        }


class Queue:
    """
    All requests of one account.

    :param process: Processes a request at a sandbox time and returns its result; raises :class:`MXError` to reject it.
    :param real_time: Returns the real time of a sandbox time.
    """

    def __init__(
        self, process: Callable[[Request, float], Mapping[str, object]], real_time: Callable[[float], float]
    ) -> None:
        self._requests: dict[str, Request] = {}
        self.counts: Counter[State] = Counter()
        self.recent_rejected: deque[Request] = deque(maxlen=10)
        self._process = process
        self._real_time = real_time
        self._due: list[tuple[float, int, Request]] = []
        self._sequence = 0
        self._last_attempt_at = -math.inf
        self._attempted: deque[float] = deque()

    @property
    def requests(self) -> ValuesView[Request]:
        """Every request accepted, the oldest first."""
        return self._requests.values()

    def request(self, request_id: str) -> Request | None:
        """
        Return a request, None if there is none with that id.

        :param request_id: Its id, in any letter case.
        """
        return self._requests.get(request_id.lower())

    def accept(self, request: Request, settings: Settings) -> None:
        """
        Add a request and schedule its first attempt.

        :param request: The request.
        :param settings: ``queue_delay``: seconds until the first attempt.
        """
        self._requests[request.id.lower()] = request
        self.counts[request.state] += 1
        self._schedule(request, request.accepted_at + settings.queue_delay)

    def run(self, until: float, settings: Settings) -> None:
        """
        Make every attempt that is due.

        :param until: Sandbox time now.
        :param settings: ``rate``, ``ladder`` and ``retries``.
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
        Return how many requests are pending, seconds until all were attempted, and attempts per minute.

        A request that waits for a retry is pending only from the time at which the retry is due.

        :param now: Sandbox time now; the queue has run until then.
        :param settings: ``rate``.
        """
        pending = [due for due, _, request in self._due if request.state is State.WAITING or due <= now]
        processing_time = len(pending) * 60.0 / settings.rate
        delay = max(processing_time, max(pending, default=now) - now)
        return len(pending), math.ceil(delay), len(self._attempted) * 60 / RATE_WINDOW

    def upcoming(self, count: int) -> Iterator[Request]:
        """
        Yield the requests whose attempts are due next, the earliest first.

        :param count: How many at most.
        """
        return (request for _, _, request in heapq.nsmallest(count, self._due))

    def _attempt(self, request: Request, at: float, settings: Settings) -> None:
        request.next_attempt_at = None
        if request.planned.lost_status:
            self._set_state(request, State.LOST)
            return
        try:
            if len(request.attempts) < request.planned.system_errors:
                self._system_error(request, at, settings)
                return
            if request.planned.rejection:
                raise request.planned.rejection
            request.result = self._process(request, at)
        except MXError as error:
            request.rejection = error
            self.recent_rejected.append(request)
            self._add_attempt(request, at, error.kind)
            self._settle(request, State.REJECTED, at)
        else:
            self._add_attempt(request, at, "success")
            self._settle(request, State.SUCCEEDED, at)

    def _system_error(self, request: Request, at: float, settings: Settings) -> None:
        self._add_attempt(request, at, "system error")
        retry = len(request.attempts) - 1
        if retry >= len(settings.retries):
            self._settle(request, State.FAILED, at)
            return
        # In both readings the listed times count from an attempt, not from the acceptance.
        start = at if settings.ladder == "gaps" else request.attempts[0].at
        self._set_state(request, State.RETRYING)
        self._schedule(request, max(at, start + settings.retries[retry]))

    def _add_attempt(self, request: Request, at: float, outcome: str) -> None:
        request.attempts.append(Attempt(at, self._real_time(at), outcome))
        _LOG.debug("request %s: attempt %d: %s", request.id, len(request.attempts), outcome)

    def _settle(self, request: Request, state: State, at: float) -> None:
        self._set_state(request, state)
        request.settled_at, request.settled_real = at, self._real_time(at)

    def _set_state(self, request: Request, state: State) -> None:
        self.counts[request.state] -= 1
        self.counts[state] += 1
        request.state = state

    def _schedule(self, request: Request, due: float) -> None:
        request.next_attempt_at = due
        self._sequence += 1
        heapq.heappush(self._due, (due, self._sequence, request))
