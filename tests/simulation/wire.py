"""
The network between workers and the sandbox, and the sandbox itself, called in process.

A call takes its time there and back, and each way may go wrong. What happens to a call is drawn when it is made, from
the faults of the moment.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from airflow_provider_leadsquared.api import requests
from airflow_provider_leadsquared.api.errors import SendingExpiredError
from airflow_provider_leadsquared.hooks._connections import SENDING, Sending
from airflow_provider_leadsquared.sandbox import protocol, responses
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.endpoints import Action, Endpoint, endpoints
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.fault_kinds import Stage
from airflow_provider_leadsquared.sandbox.faults import CallFaults
from airflow_provider_leadsquared.sandbox.protocol import Call
from airflow_provider_leadsquared.sandbox.queue import Request, State
from tests.simulation.call_faults import LATE, LOST, REFUSED, RESET_AFTER, RESET_BEFORE, Trouble
from tests.simulation.responding import headers_of, id_in, is_shown, named_failure
from tests.simulation.timeline import Timeline, Worker
from tests.simulation.watched import WatchedAccount

#: Seconds after which a worker stops waiting for a response, as the hook's timeout says.
READ_TIMEOUT = 30.0


@dataclass(slots=True)
class Sent:
    """A submission as the sandbox received it, or as it was lost on its way, and what its sender can know of it."""

    number: int
    at: float
    worker: Worker
    body: bytes
    request: Request | None = None
    #: What went wrong with the call on its way, in one word, None if nothing did.
    fault: str | None = None
    #: Whether the receipt reached the sender.
    is_receipt_delivered: bool = False
    #: When a response reached the sender.
    answered_at: float = math.inf
    is_from_pause: bool = False
    #: The RequestId that the response named: another request's, if a server in between repeated an old receipt.
    id_shown: Any = None
    lead: dict[str, Any] = field(default_factory=dict)
    #: The query parameters that say what becomes of an existing lead.
    parameters: dict[str, str] = field(default_factory=dict)


#: System errors after which a request has no attempt left.
EVERY_ATTEMPT = 11
#: Stages of the sandbox's faults after which a receipt need not be one any more.
_SPOILS_A_RECEIPT = {Stage.REPLACEMENT, Stage.ALTERATION}


class Wire:
    """
    The network and the sandbox of one simulation.

    :param timeline: The clock.
    :param account: The sandbox's account.
    :param draw_fault: Returns what goes wrong with a call, None if nothing does.
    """

    def __init__(
        self,
        timeline: Timeline,
        account: WatchedAccount,
        draw_fault: Callable[[Endpoint, Worker, str], Trouble | None],
    ) -> None:
        self.timeline, self.account, self._draw_fault = timeline, account, draw_fault
        self.sent: list[Sent] = []
        self.polls = 0
        #: Polls by RequestId and task: those that met no fault on their way, and the others.
        self.polls_of: Counter[tuple[str, str]] = Counter()
        self.troubled_polls_of: Counter[tuple[str, str]] = Counter()
        #: Submissions that have not reached LeadSquared yet, by how the names of their task's workers begin.
        self.on_their_way: Counter[str] = Counter()
        #: When a worker first got the verdict of a request, by RequestId.
        self.known_at: dict[str, float] = {}
        #: When a worker was last shown any status of a request, by RequestId; and of any request at all.
        self.found_at: dict[str, float] = {}
        self.path_found_at = -math.inf
        #: Whether a status between retries is a failure with the system error's name.
        self.names_failures = False
        #: Share of the requests without an attempt left that are applied all the same.
        self.unseen = 0.5
        #: Whether queue metrics are sometimes wrong.
        self.metrics_lie = False
        #: Which error they have as long as the simulation lasts; None if it is another one each time.
        self.metrics_error: float | None = None
        self._endpoints = {(one.method, one.path): one for one in endpoints()}

    def meet(self, worker: Worker, method: str, url: str) -> tuple[Endpoint, Trouble | None]:
        """Return the endpoint that is called, and what goes wrong with this call."""
        parts = urlsplit(url)
        endpoint = self._endpoints[method, parts.path]
        query = {name.lower(): value for name, value in parse_qsl(parts.query)}
        return endpoint, self._draw_fault(endpoint, worker, query.get("requestid", ""))

    def deliver(
        self,
        worker: Worker,
        endpoint: Endpoint,
        trouble: Trouble | None,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> asyncio.Future[Any]:
        """Send a request; the future gets the response, or the error that the client sees."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        parts = urlsplit(url)
        query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
        named = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
        call = Call(endpoint, query, named, body or b"")
        rng, now = worker.rng, self.timeline.now
        there = now + 0.01 + rng.random() * 0.2
        kind = trouble.kind if trouble else None
        if kind in (LATE, LOST) and trouble and trouble.stays:
            there = now + trouble.stays
        task = worker.name.rpartition(".")[0] + "."
        is_submission = endpoint.action is Action.SUBMIT
        self.on_their_way[task] += is_submission
        is_paused = worker.was_paused_at_socket
        worker.was_paused_at_socket = False

        def settle(outcome: Any) -> None:
            if not worker.is_dead and not loop.is_closed() and not future.done():
                loop.call_soon_threadsafe(_settle, future, outcome)

        def arrive() -> None:
            self.on_their_way[task] -= is_submission
            if kind == RESET_BEFORE:
                if call.endpoint.action is Action.SUBMIT:
                    self._note_sent(call, worker, trouble, is_paused, None)  # its sender is in doubt
                settle(aiohttp.ServerDisconnectedError())
                return
            response, sent, shown = self._receive(call, worker, trouble, is_paused)
            if kind == LOST:
                return
            back = self.timeline.now + 0.01 + rng.random() * 0.3 + (trouble.seconds if trouble else 0.0)
            if kind == RESET_AFTER:
                self.timeline.at(back, lambda: settle(aiohttp.ClientOSError("reset")))
                return
            is_whole = trouble is None or not _SPOILS_A_RECEIPT & trouble.faults.keys() or _has_own_id(sent)
            self.timeline.at(back, lambda: settle((response, sent, is_whole, shown)))

        self.timeline.at(there, arrive)
        return future

    def _receive(
        self, call: Call, worker: Worker, trouble: Trouble | None, is_paused: bool
    ) -> tuple[responses.Response, Sent | None, str | None]:
        """Let the sandbox respond; return what was sent, and the id of a request whose verdict the response has."""
        account = self.account
        faults = CallFaults(trouble.faults if trouble else {})
        response = protocol.respond(account, call, faults)
        sent: Sent | None = None
        if call.endpoint.action is Action.SUBMIT:
            request = account.queue.request(response.request_id) if response.request_id else None
            sent = self._note_sent(call, worker, trouble, is_paused, request)
            sent.id_shown = id_in(response)
            if (
                request is not None
                and request.planned.system_errors >= EVERY_ATTEMPT
                and worker.rng.random() < self.unseen
            ):
                self._apply_unseen(request, worker)
        elif call.endpoint.action is Action.STATUS:
            self.polls += 1
            asked = call.query.get("requestid", "")
            polls = self.polls_of if trouble is None else self.troubled_polls_of
            polls[asked, worker.name.rpartition(".")[0]] += 1
            request = account.queue.request(asked)
            if self.names_failures:
                response = named_failure(request, response)
            is_odd = (
                trouble is not None and trouble.name == "odd_status" and trouble.faults.keys() <= {Stage.ALTERATION}
            )
            # A rejection in another odd form may be a system error between retries.
            is_readable = trouble is None or (
                is_odd and request is not None and (request.state is State.SUCCEEDED or _is_inner_failure(trouble))
            )
            if request is not None and is_readable and is_shown(request):
                return response, None, request.id
        return response, sent, None

    def _note_sent(
        self, call: Call, worker: Worker, trouble: Trouble | None, is_paused: bool, request: Request | None
    ) -> Sent:
        sent = Sent(len(self.sent), self.timeline.now, worker, call.body, request)
        sent.fault = trouble.name if trouble else None
        sent.is_from_pause = is_paused
        sent.lead = dict(call.endpoint.read_lead(call.body) or {})
        sent.parameters = {name: value for name, value in call.query.items() if not name.endswith("key")}
        self.sent.append(sent)
        return sent

    def note_verdict(self, worker: Worker, request_id: str | None) -> None:
        """Note that a worker got a status, if it was a verdict and the worker writes it down."""
        request = self.account.queue.request(request_id or "")
        if request is not None and request.settled_at is not None and request.polls > request.planned.flap_polls:
            if ".trigger." in worker.name:
                worker.seen.append(request.id)
            elif not worker.is_given_up:
                self.known_at.setdefault(request.id, self.timeline.now)

    def note_found(self, worker: Worker, request_id: str | None, *, is_sure: bool) -> None:
        """Note that a worker got a status of a request; whether it can read it is not always sure."""
        self.path_found_at = self.timeline.now
        if is_sure and not worker.is_given_up and ".trigger." not in worker.name:
            self.found_at[request_id or ""] = self.timeline.now

    def _apply_unseen(self, request: Request, worker: Worker) -> None:
        """Let a request be applied at one of its attempts, though LeadSquared calls each of them a system error."""

        begins = self.timeline.now + self.account.settings.queue_delay

        def apply() -> None:
            self.account.run_due()
            with suppress(MXError):
                self.account._process(request, self.timeline.now)

        self.timeline.at(begins + worker.rng.random() * 9 * 3_600, apply)


def _has_own_id(sent: Sent | None) -> bool:
    """Tell whether a receipt names its own request: no receipt was there before to be repeated."""
    return sent is not None and sent.request is not None and sent.request.id_as_sent == sent.id_shown


def _is_inner_failure(trouble: Trouble) -> bool:
    return any(fault.parameters.get("shapes") == ("inner_failure",) for fault in trouble.faults.values())


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class _Content:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), size):
            yield self._body[start : start + size]


class _Response:
    def __init__(self, response: responses.Response, account: Account) -> None:
        self.status = response.http
        self.content, self.content_length = _Content(response.body), None
        self.headers = headers_of(response, account)


class WireConnections:
    """What the hook makes its calls on, in place of aiohttp's connections; with the same checks before a request."""

    #: The network that is used, and who uses it.
    wire: Callable[[], Wire]

    def __init__(self, url: str, limit: int, *, timeout: float, user_agent: str) -> None:
        self.are_kept = True
        self._slots = asyncio.Semaphore(limit)
        self._user_agent = user_agent

    async def __aenter__(self) -> WireConnections:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    def session(self, *, may_repeat: bool) -> WireConnections:
        return self

    def begin(self, request: requests.Request, may_begin: Callable[[], bool] | None) -> Sending:
        return Sending(request, READ_TIMEOUT, math.inf, may_begin)

    def end(self, sending: Sending) -> None:
        pass

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        return headers

    @asynccontextmanager
    async def request(
        self, method: str, url: Any, *, headers: Mapping[str, str], data: bytes | None, allow_redirects: bool
    ) -> AsyncIterator[_Response]:
        wire = type(self).wire()
        strand = wire.timeline.current
        assert strand is not None
        worker = strand.worker
        async with self._slots:
            await asyncio.sleep(0.001 + worker.rng.random() * 0.03)
            worker.step("call")
            endpoint, trouble = wire.meet(worker, method, str(url))
            if trouble is not None and trouble.kind == REFUSED:
                raise ConnectionRefusedError("refused")
            sending = SENDING.get()
            if sending is not None:
                if sending.may_begin is not None and not sending.may_begin():
                    raise SendingExpiredError(
                        f"{sending.request.label}: not sent, because the time to send it had passed"
                    )
                sending.has_begun = True
            worker.is_at_socket = True
            try:
                worker.step("socket")
            finally:
                worker.is_at_socket = False
            future = wire.deliver(worker, endpoint, trouble, str(url), headers, data)
            async with asyncio.timeout(READ_TIMEOUT):
                response, sent, is_whole, shown = await future
            worker.step("response")
            if shown is not None:
                worker.shown.append(shown)
            if sent is not None:
                sent.answered_at = wire.timeline.now
                sent.is_receipt_delivered = is_whole and sent.request is not None
            if endpoint.action is Action.STATUS and response.status is not None:
                wire.note_verdict(worker, response.request_id)
                wire.note_found(worker, response.request_id, is_sure=trouble is None)
            yield _Response(response, wire.account)


def random_of(*parts: object) -> random.Random:
    """Return random numbers that depend on these parts alone."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - draws a simulation, protects nothing
