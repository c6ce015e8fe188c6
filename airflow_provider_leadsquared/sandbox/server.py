"""The HTTP server: reads calls, sends responses, and breaks connections if a fault demands it."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_leadsquared.sandbox import protocol, responses
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.control import COLLECTIONS, PAGE_SIZE, Control
from airflow_provider_leadsquared.sandbox.detail_pages import render_entry
from airflow_provider_leadsquared.sandbox.endpoints import Action, Endpoint, find_endpoint
from airflow_provider_leadsquared.sandbox.fault_kinds import Stage
from airflow_provider_leadsquared.sandbox.own_origin import HEADERS, Guard
from airflow_provider_leadsquared.sandbox.page import render
from airflow_provider_leadsquared.sandbox.page_parts import note, page
from airflow_provider_leadsquared.sandbox.protocol import Call
from airflow_provider_leadsquared.sandbox.record import Poll, Post
from airflow_provider_leadsquared.sandbox.responses import Response
from airflow_provider_leadsquared.sandbox.sending import as_web_response, is_at_its_end, reset_connection, send

_LOG = logging.getLogger(__name__)
_HTTP_LOG = logging.getLogger(f"{__name__}.http")
# aiohttp logs a malformed call as a whole, including its keys.
_HTTP_LOG.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
_RUN_INTERVAL = 0.1
"""Real seconds between two runs of the queue."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """
    Serves one account on one port.

    :param account: The account.
    :param open_control: Whether other machines may use the page and everything under ``/sandbox/``.
    :param own_names: Host names by which they may be called, in addition to ``localhost`` and IP addresses.
    """

    def __init__(self, account: Account, open_control: bool = False, own_names: Collection[str] = ()) -> None:
        self.account = account
        self.control = Control(account)
        self._guard = Guard(open_control, own_names)
        self._runner: web.AppRunner | None = None
        self._runs: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """
        Start to listen.

        :param host: Address to listen on.
        :param port: Port, 0 for a free one.
        :return: The port.
        :raises OSError: If address or port cannot be used.
        """
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,  # it would contain keys
            logger=_HTTP_LOG,
            handler_cancellation=True,  # ends a call that hangs when its client closes the connection
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, reuse_address=True).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._runs = asyncio.create_task(self._run_regularly())
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runs:
            self._runs.cancel()
        if self._runner:
            await self._runner.cleanup()

    async def _run_regularly(self) -> None:
        # Without this, all attempts that became due since the last call would delay the next response.
        while True:
            await asyncio.sleep(_RUN_INTERVAL)
            self.account.run_due()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=protocol.MAX_BODY)
        app.on_response_prepare.append(self._set_date)
        control = self.control
        self._add(app, "GET", "/", self._page)
        self._add(app, "GET", "/view/{collection:requests|leads}/{id}", self._detail_page)
        self._add(app, "GET", "/LeadManagement/LeadDetails", self._web_application)
        self._add(app, "GET", "/sandbox/counts", _without_body(control.counts))
        self._add(app, "GET", "/sandbox/clock", _without_body(control.clock))
        self._add(app, "POST", "/sandbox/clock", _with_body(control.move_clock))
        self._add(app, "GET", "/sandbox/switches", _without_body(control.switches))
        self._add(app, "POST", "/sandbox/switches", _with_body(control.set_switches))
        self._add(app, "GET", "/sandbox/faults", _without_body(control.faults))
        self._add(app, "POST", "/sandbox/faults", _with_body(control.add_faults))
        self._add(app, "DELETE", "/sandbox/faults", self._clear_faults)
        self._add(app, "DELETE", "/sandbox/faults/{id:[0-9]+}", self._clear_faults)
        self._add(app, "POST", "/sandbox/visitors", _with_body(control.add_visitors))
        self._add(app, "POST", "/sandbox/merges", _with_body(control.merge_leads))
        self._add(app, "POST", "/sandbox/reset", _without_body(control.reset))
        for collection in COLLECTIONS:
            self._add(app, "GET", f"/sandbox/{collection}", self._read_page)
        self._add(app, "GET", "/sandbox/{collection:requests|leads}/{id}", self._read_entry)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        # aiohttp has set the header to the time of this machine already.
        server_time = self.account.server_time()
        if server_time is None:
            del response.headers["Date"]
        else:
            response.headers["Date"] = responses.http_date(server_time)

    # LeadSquared's endpoints

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        # Not routes of aiohttp: it accepts no new routes after the start, but an API may be added at any time.
        endpoint = find_endpoint(request.method, request.rel_url.raw_path)
        if endpoint is None:
            endpoint = Endpoint("unknown", Action.NONE, request.method, request.path)
            response = responses.no_such_path(endpoint.is_async)
            self._record(Call(endpoint, {}, {}), response, [])
            return as_web_response(response)
        account = self.account
        if is_at_its_end(request):
            self._record(Call(endpoint, {}, {}), None, ["close_connection"])
            return reset_connection(request)
        if fault := account.faults.before_reading(endpoint.name):
            self._record(Call(endpoint, {}, {}), None, [fault.kind])
            return reset_connection(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            response = responses.gateway(413)
            self._record(Call(endpoint, {}, {}), response, [])
            return as_web_response(response)
        query = {name.lower(): value for name, value in reversed([*request.query.items()])}
        call = Call(endpoint, query, {name.lower(): value for name, value in request.headers.items()}, body)
        # Several faults may ask for the lead; it is read only once.
        find_lead = functools.cache(lambda: self._lead_of(call))
        faults = account.faults.for_call(endpoint, find_lead)
        if Stage.CONNECTION in faults.by_stage:
            self._record(call, None, faults.kinds)
            return reset_connection(request)
        response = protocol.respond(account, call, faults)
        is_lost = Stage.DELIVERY in faults.by_stage
        self._record(call, response, faults.kinds, is_lost)
        return await send(request, response, faults)

    def _lead_of(self, call: Call) -> Mapping[str, str | None]:
        """Return the lead that is submitted or whose request is polled, empty if there is none."""
        polled = self.account.queue.request(call.query.get("requestid", ""))
        lead = polled.api.read_lead(polled.body) if polled else call.endpoint.read_lead(call.body)
        return lead or {}

    def _record(self, call: Call, response: Response | None, faults: list[str], is_lost: bool = False) -> None:
        """Record a call; ``response`` is None if none was made, ``is_lost`` if a fault kept it from the client."""
        account, endpoint = self.account, call.endpoint
        at = account.clock.now()
        real = account.clock.real_time(at)
        http = None if response is None or is_lost else response.http
        request_id = response.request_id if response else None
        if endpoint.method == "POST":
            number, behavior = len(account.posts) + 1, call.query.get("leadupdatebehavior")
            body = call.body or None
            account.posts.append(Post(number, at, real, endpoint, behavior, body, faults, http, request_id))
        elif endpoint.action is Action.STATUS:
            status = response.status if response and not is_lost else None
            number, polled = len(account.polls) + 1, call.query.get("requestid", "")
            account.polls.append(Poll(number, at, real, endpoint.name, polled, http, status, faults))
        # An id that the account does not know may be anything, even lead data, so it is not logged.
        known = request_id if account.queue.request(request_id or "") else ""
        _LOG.debug("%s: %s %s %s", endpoint.name, http or "no response", known, " ".join(faults))

    # The page, the controls and the recorded data

    def _add(self, app: web.Application, method: str, path: str, handler: _Handler) -> None:
        """Add a route of the page or the controls: it needs no keys, and it is closed to other web pages."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse | None = self._guard.refusal(request)
            try:
                response = response or await handler(request)
            except ValueError as error:
                response = web.json_response({"error": str(error)}, status=400)
            response.headers.update(HEADERS)
            return response

        app.router.add_route(method, path, guarded)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        self.account.run_due()
        return _html(render(self.account, f"http://{request.host}"))

    async def _detail_page(self, request: web.Request) -> web.StreamResponse:
        return self._entry_page(request.match_info["collection"], request.match_info["id"])

    async def _web_application(self, request: web.Request) -> web.StreamResponse:
        """Show a lead at the address that it has in LeadSquared's web application."""
        return self._entry_page("leads", request.query.get("LeadID", ""))

    def _entry_page(self, collection: str, entry_id: str) -> web.Response:
        self.account.run_due()
        text = render_entry(self.account, collection, entry_id)
        if text is None:
            return _html(page("Not found", note("There is none with this id; it may have been removed.")), http=404)
        return _html(text)

    async def _clear_faults(self, request: web.Request) -> web.StreamResponse:
        fault_id = request.match_info.get("id")
        self.control.clear_faults(int(fault_id) if fault_id else None)
        return web.json_response(self.control.faults())

    async def _read_page(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", PAGE_SIZE))
        return web.json_response(self.control.page(request.path.rpartition("/")[2], after, limit))

    async def _read_entry(self, request: web.Request) -> web.StreamResponse:
        entry = self.control.entry(request.match_info["collection"], request.match_info["id"])
        return web.json_response(entry, status=200 if entry else 404)


def _without_body(read: Callable[[], object]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(read())

    return handle


def _with_body(write: Callable[[object], object]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(write(json.loads(await request.read())))

    return handle


def _html(text: str, http: int = 200) -> web.Response:
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
    body = text.encode("utf-8", "replace")
    return web.Response(status=http, body=body, content_type="text/html", charset="utf-8", headers=headers)
