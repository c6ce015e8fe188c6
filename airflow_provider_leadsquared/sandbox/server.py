"""The sandbox on a socket: carries calls in and answers out, and breaks connections where a fault says so."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_leadsquared.sandbox import messages, protocol
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.control import BOOKS, PAGE_SIZE, Control
from airflow_provider_leadsquared.sandbox.faults import Plan, Way
from airflow_provider_leadsquared.sandbox.messages import Answer
from airflow_provider_leadsquared.sandbox.page import render
from airflow_provider_leadsquared.sandbox.protocol import ENDPOINTS, Call, Endpoint
from airflow_provider_leadsquared.sandbox.record import Look, Post, lead_in

_LOG = logging.getLogger(__name__)
_HTTP_LOG = logging.getLogger(f"{__name__}.http")
# What aiohttp says of a malformed call quotes it, with the keys in it.
_HTTP_LOG.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
_TICK = 0.1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """
    One account on one port.

    :param account: The account.
    :param open_control: Whether other machines may use the page, the controls and the read-back.
    """

    def __init__(self, account: Account, open_control: bool = False) -> None:
        self.account = account
        self.control = Control(account)
        self._open_control = open_control
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """
        Listen, and return the port.

        :param host: Address to listen on.
        :param port: Port, 0 for a free one.
        :raises OSError: When the address cannot be had.
        """
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,  # it would show keys
            logger=_HTTP_LOG,
            handler_cancellation=True,  # a hung call must not outlive its client
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, reuse_address=True).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._ticker = asyncio.create_task(self._tick())
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._ticker:
            self._ticker.cancel()
        if self._runner:
            await self._runner.cleanup()

    async def _tick(self) -> None:
        # Attempts fall due while nobody looks; making them in small batches keeps every answer quick.
        while True:
            await asyncio.sleep(_TICK)
            self.account.catch_up()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=protocol.MAX_BODY)
        for endpoint in ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, self._endpoint(endpoint))
        control = self.control
        self._add(app, "GET", "/", self._page)
        self._add(app, "GET", "/sandbox/counts", _tells(control.counts))
        self._add(app, "GET", "/sandbox/clock", _tells(control.clock))
        self._add(app, "POST", "/sandbox/clock", _takes(control.move_clock))
        self._add(app, "GET", "/sandbox/switches", _tells(control.switches))
        self._add(app, "POST", "/sandbox/switches", _takes(control.set_switches))
        self._add(app, "GET", "/sandbox/faults", _tells(control.faults))
        self._add(app, "POST", "/sandbox/faults", _takes(control.add_faults))
        self._add(app, "DELETE", "/sandbox/faults", self._clear_faults)
        self._add(app, "DELETE", "/sandbox/faults/{id:[0-9]+}", self._clear_faults)
        self._add(app, "POST", "/sandbox/visitors", _takes(control.add_visitors))
        self._add(app, "POST", "/sandbox/reset", _tells(control.reset))
        for book in BOOKS:
            self._add(app, "GET", f"/sandbox/{book}", self._read_page)
        self._add(app, "GET", "/sandbox/{book:requests|leads}/{id}", self._read_entry)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        return app

    # The protocol

    def _endpoint(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(endpoint, request)

        return handle

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        account = self.account
        if door := account.faults.door(endpoint.name):
            self._record(Call(endpoint, {}, {}), None, [door.kind])
            return _drop(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            answer = messages.gateway(413)
            self._record(Call(endpoint, {}, {}), answer, [])
            return _response(answer)
        query = {name.lower(): value for name, value in reversed([*request.query.items()])}
        call = Call(endpoint, query, {name.lower(): value for name, value in request.headers.items()}, body)
        # Read once, however many faults ask for the lead.
        lead = functools.cache(lambda: self._lead_of(call))
        plan = account.faults.plan(endpoint.name, lead, endpoint.name == "capture")
        if Way.DOOR in plan.struck:
            self._record(call, None, plan.names)
            return _drop(request)
        answer = protocol.answer(account, call, plan)
        is_lost = Way.AFTER in plan.struck
        self._record(call, answer, plan.names, is_lost)
        if (slow := plan.parameters(Way.DELAY, "slow")) is not None:
            await asyncio.sleep(slow["seconds"])
        return await _lose(request, answer, plan) if is_lost else _response(answer)

    def _lead_of(self, call: Call) -> dict[str, str | None]:
        """Return the lead that is submitted, or whose request is looked at."""
        body = call.body
        if asked := self.account.queue.requests.get(call.query.get("requestid", "")):
            body = asked.body.encode()
        return lead_in(body) or {}

    def _record(self, call: Call, answer: Answer | None, faults: list[str], is_lost: bool = False) -> None:
        account, name = self.account, call.endpoint.name
        at = account.clock.now()
        real = account.clock.real(at)
        http = None if answer is None or is_lost else answer.http
        request_id = answer.request_id if answer else None
        if call.endpoint.method == "POST":
            behavior = call.query.get("leadupdatebehavior")
            number = len(account.posts) + 1
            account.posts.append(Post(number, at, real, name, behavior, call.body or None, faults, http, request_id))
        elif name == "status":
            status = answer.status if answer and not is_lost else None
            asked = call.query.get("requestid", "")
            account.looks.append(Look(len(account.looks) + 1, at, real, asked, http, status, faults))
        # An id that is not ours may be anything, lead data included.
        known = request_id if request_id in account.queue.requests else ""
        _LOG.debug("%s: %s %s %s", name, http or "no answer", known, " ".join(faults))

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        nowhere = Endpoint("unknown", request.method, request.path)
        answer = messages.no_such_path(nowhere.is_async)
        self._record(Call(nowhere, {}, {}), answer, [])
        return _response(answer)

    # The sandbox's own addresses

    def _add(self, app: web.Application, method: str, path: str, handler: Handler) -> None:
        """Route one of the sandbox's own addresses, which need no keys and are therefore kept to this machine."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._open_control and not _is_loopback(request.remote):
                return web.json_response({"error": "the sandbox's own addresses answer this machine only"}, status=403)
            try:
                return await handler(request)
            except ValueError as error:
                return web.json_response({"error": str(error)}, status=400)

        app.router.add_route(method, path, guarded)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self.account.catch_up()
        text = render(self.account, f"http://{request.host}")
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(
            body=text.encode("utf-8", "replace"), content_type="text/html", charset="utf-8", headers=headers
        )

    async def _clear_faults(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info.get("id")
        self.control.clear_faults(int(wanted) if wanted else None)
        return web.json_response(self.control.faults())

    async def _read_page(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", PAGE_SIZE))
        return web.json_response(self.control.page(request.path.rpartition("/")[2], after, limit))

    async def _read_entry(self, request: web.Request) -> web.StreamResponse:
        entry = self.control.entry(request.match_info["book"], request.match_info["id"])
        return web.json_response(entry, status=200 if entry else 404)


def _tells(read: Callable[[], object]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(read())

    return handle


def _takes(write: Callable[[object], object]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(write(json.loads(await request.read())))

    return handle


def _is_loopback(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.http, body=answer.body, content_type=answer.content_type, headers=dict(answer.headers)
    )


async def _lose(request: web.Request, answer: Answer, plan: Plan) -> web.StreamResponse:
    """Keep the whole answer, or its second half, from the client."""
    if (lost := plan.parameters(Way.AFTER, "lost_answer")) is not None:
        if lost["how"] == "hang":
            await asyncio.sleep(lost["seconds"])
        return _drop(request)
    half = web.StreamResponse(status=answer.http, headers={"Content-Length": str(len(answer.body))})
    half.content_type = answer.content_type
    with contextlib.suppress(ConnectionError):
        await half.prepare(request)
        await half.write(answer.body[: len(answer.body) // 2])
    return _drop(request)


def _drop(request: web.Request) -> web.Response:
    """Reset the connection; what is returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # A close with nothing lingering sends RST, as a broken host does, and not an orderly FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
