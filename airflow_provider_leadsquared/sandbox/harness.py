"""The sandbox inside another program: a server in a thread, with its controls as methods."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.control import MAX_PAGE_SIZE
from airflow_provider_leadsquared.sandbox.fields import LeadField
from airflow_provider_leadsquared.sandbox.server import Server
from airflow_provider_leadsquared.sandbox.settings import Settings

T = TypeVar("T")


class Sandbox:
    """
    One sandbox, served by a thread from :meth:`start` to :meth:`stop`, or inside a ``with`` block.

    Its data is kept after :meth:`stop`, so that a stop and a later start simulate an outage.

    :param speed: Sandbox seconds per real second, 1 by default. With 0 only :meth:`advance` moves the clock.
    :param port: Port on 127.0.0.1. 0, the default, is a free one.
    :param fields: Lead fields in addition to the built-in ones, as objects like those of the metadata endpoint.
    :param switches: Any switch of the sandbox, by its name; the page on the sandbox lists them.
    :raises ValueError: If the speed is out of range, or a field or a switch is wrong.
    """

    def __init__(
        self, *, speed: float = 1.0, port: int = 0, fields: Iterable[Mapping[str, Any]] = (), **switches: object
    ) -> None:
        self.port = port
        added = [LeadField.from_json(dict(field)) for field in fields]
        self._account = Account(Settings().changed(switches), added, Clock(speed))
        self._server = Server(self._account)
        self._control = self._server.control
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """
        Start to serve. Returns when the port is open.

        :raises OSError: If the port is in use.
        :raises OverflowError: If the port is not between 0 and 65535.
        """
        started = threading.Event()
        failure: list[Exception] = []

        async def serve() -> None:
            try:
                self.port = await self._server.start("127.0.0.1", self.port)
            except Exception as error:  # raised again in the thread that waits
                failure.append(error)
                started.set()
                return
            self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            await self._end.wait()
            await self._server.stop()

        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), name="leadsquared-sandbox", daemon=True)
        self._thread.start()
        started.wait()
        if failure:
            raise failure[0]

    def stop(self) -> None:
        """Close the port and every connection. Does nothing if the sandbox is not started."""
        if self._loop and self._end and self._thread:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
        self._loop = self._end = self._thread = None

    @property
    def url(self) -> str:
        """The URL of both hosts and of the page."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_key(self) -> str:
        """The user's access key."""
        return self._account.settings.access_key

    @property
    def secret_key(self) -> str:
        """The user's secret key."""
        return self._account.settings.secret_key

    @property
    def api_key(self) -> str:
        """The account's ``x-api-key``."""
        return self._account.settings.api_key

    def airflow_connection(self) -> dict[str, Any]:
        """Return the Airflow connection to this sandbox, in the form that Airflow reads from JSON."""
        return {
            "conn_type": "leadsquared",
            "host": self.url,
            "login": self.access_key,
            "password": self.secret_key,
            "extra": {
                "async_api_key": self.api_key,
                "sync_host": self.url,
                "sandbox_speed": self._account.clock.speed,
            },
        }

    def now(self) -> float:
        """Return sandbox time now, in seconds since 1970."""
        return self._account.clock.now()

    def advance(self, seconds: float) -> None:
        """
        Advance the clock, and make every attempt that becomes due.

        :param seconds: Sandbox seconds, 0 or more.
        :raises ValueError: If negative or after the year 9987.
        """
        self._run(lambda: self._account.move_clock(seconds))

    def set_speed(self, speed: float) -> None:
        """
        Set the speed of the clock from now on.

        :param speed: Sandbox seconds per real second, from 0 (stopped) to 1,000,000.
        :raises ValueError: If the speed is out of range.
        """
        self._run(lambda: self._account.move_clock(speed=speed))

    def switch(self, **switches: object) -> None:
        """
        Set switches.

        :param switches: Names and values.
        :raises ValueError: If a switch does not exist or a value is wrong. Then nothing is changed.
        """
        self._run(lambda: self._account.change(switches))

    def fault(self, kind: str, **details: object) -> int:
        """
        Set a fault.

        :param kind: The kind of fault, such as ``lost_response``.
        :param details: The calls that it affects (``endpoint``, ``attribute`` with ``value``, ``skip``, ``calls``,
            ``share``, ``seed``), and the kind's own parameters.
        :return: Its id.
        :raises ValueError: If the kind, a condition or a parameter does not exist or has a wrong value.
        """
        added = self._run(lambda: self._control.add_faults({"kind": kind, **details}))
        return int(str(added[0]["id"]))

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults; ``affected`` is the number of calls that a fault has affected."""
        return self._run(self._control.faults)

    def clear_faults(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Id of the fault; None clears all.
        """
        self._run(lambda: self._control.clear_faults(fault_id))

    def add_visitors(self, *ids: str) -> None:
        """
        Add anonymous visitors.

        :param ids: Their ids.
        :raises ValueError: If an id is empty or is the id of a lead.
        """
        self._run(lambda: self._control.add_visitors({"ids": list(ids)}))

    def merge_leads(self, lead_id: str, into: str) -> None:
        """
        Merge a lead into another, as a user of the CRM does.

        :param lead_id: Id of the lead that goes.
        :param into: Id of the lead that gets its activities and the values of its own empty fields.
        :raises ValueError: If there is no such lead, or both are the same.
        """
        self._run(lambda: self._control.merge_leads({"lead": lead_id, "into": into}))

    def delete_lead(self, lead_id: str) -> None:
        """
        Delete a lead, as a user of the CRM does.

        :param lead_id: Its id.
        :raises ValueError: If there is no such lead.
        """
        self._run(lambda: self._control.merge_leads({"lead": lead_id, "into": None}))

    def reset(self) -> None:
        """Delete everything except the clock, and set every switch to its value at the start."""
        self._run(self._control.reset)

    def counts(self) -> dict[str, Any]:
        """Return how many entries each collection has, how many visitors there are, and how many requests per state."""
        return self._run(self._control.counts)

    def posts(self) -> list[dict[str, Any]]:
        """Return every POST received, including those that were refused."""
        return self._all("posts")

    def polls(self) -> list[dict[str, Any]]:
        """Return every poll of a request's status."""
        return self._all("polls")

    def requests(self) -> list[dict[str, Any]]:
        """Return every accepted request with its history."""
        return self._all("requests")

    def request(self, request_id: str) -> dict[str, Any] | None:
        """
        Return one request with its history, None if there is none.

        :param request_id: Its id.
        """
        return self._run(lambda: self._control.entry("requests", request_id))

    def leads(self) -> list[dict[str, Any]]:
        """Return every lead stored."""
        return self._all("leads")

    def lead(self, lead_id: str) -> dict[str, Any] | None:
        """
        Return one lead, None if there is none.

        :param lead_id: Its id.
        """
        return self._run(lambda: self._control.entry("leads", lead_id))

    def activities(self) -> list[dict[str, Any]]:
        """Return every Lead Capture activity."""
        return self._all("activities")

    def _all(self, collection: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page: Any = self._page(collection, after)
            items += page["items"]
            after = page["next"]
        return items

    def _page(self, collection: str, after: int) -> object:
        return self._run(lambda: self._control.page(collection, after, MAX_PAGE_SIZE))

    def _run(self, action: Callable[[], T]) -> T:
        """Run in the thread of the server. While it serves, no other thread may use the account."""
        if self._loop is None:
            return action()

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
