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
    A LeadSquared of one's own, serving in a thread between :meth:`start` and :meth:`stop`, or in a ``with`` block.

    What it holds outlives :meth:`stop`, so a stop and a start in between is an outage.

    :param speed: Sandbox seconds per real second; 0 for a clock that only :meth:`advance` moves.
    :param port: Port on 127.0.0.1, 0 for a free one.
    :param fields: Lead fields besides the built-in ones, described as the metadata endpoint does.
    :param switches: Any switch of :class:`~airflow_provider_leadsquared.sandbox.settings.Settings`.
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
        Begin to serve; return once the port is open.

        :raises OSError: When the port cannot be had; OverflowError when there is no such port.
        """
        started = threading.Event()
        failure: list[Exception] = []

        async def serve() -> None:
            try:
                self.port = await self._server.start("127.0.0.1", self.port)
            except Exception as error:  # whatever it is, the waiting caller must hear of it
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
        """Close the port and every connection; harmless when not serving."""
        if self._loop and self._end and self._thread:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
        self._loop = self._end = self._thread = None

    @property
    def url(self) -> str:
        """The address of both hosts, and of the page."""
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
        """Return the Airflow connection to this sandbox, as the dictionary that Airflow reads from JSON."""
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
        """Return sandbox time."""
        return self._account.clock.now()

    def advance(self, seconds: float) -> None:
        """
        Jump forward, letting everything happen that falls due on the way.

        :param seconds: Sandbox seconds.
        """
        self._run(lambda: self._account.move_clock(seconds))

    def set_speed(self, speed: float) -> None:
        """
        Let the clock run at another speed from now on.

        :param speed: Sandbox seconds per real second; 0 to stand still.
        """
        self._run(lambda: self._account.move_clock(speed=speed))

    def switch(self, **switches: object) -> None:
        """
        Set switches.

        :param switches: Names and values.
        :raises ValueError: When one does not exist; nothing is changed then.
        """
        self._run(lambda: self._account.change(switches))

    def fault(self, kind: str, **details: object) -> int:
        """
        Set a fault.

        :param kind: Its kind.
        :param details: Whom it strikes, and the kind's own parameters.
        :return: Its id.
        :raises ValueError: When there is no such fault.
        """
        added = self._run(lambda: self._control.add_faults({"kind": kind, **details}))
        return int(str(added[0]["id"]))

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults, with how often each struck."""
        return self._run(self._control.faults)

    def clear_faults(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Which one; all when left out.
        """
        self._run(lambda: self._control.clear_faults(fault_id))

    def add_visitors(self, *ids: str) -> None:
        """
        Make ids known as anonymous visitors.

        :param ids: The ids.
        """
        self._run(lambda: self._control.add_visitors({"ids": list(ids)}))

    def reset(self) -> None:
        """Forget everything but the clock, and set every switch as it was at the start."""
        self._run(self._control.reset)

    def counts(self) -> dict[str, Any]:
        """Return how much of everything there is, and the requests by state."""
        return self._run(self._control.counts)

    def posts(self) -> list[dict[str, Any]]:
        """Return every POST received."""
        return self._all("posts")

    def looks(self) -> list[dict[str, Any]]:
        """Return every look at a status."""
        return self._all("looks")

    def requests(self) -> list[dict[str, Any]]:
        """Return every accepted request with its history."""
        return self._all("requests")

    def request(self, request_id: str) -> dict[str, Any] | None:
        """
        Return one request with its history, None when there is none.

        :param request_id: Its id.
        """
        return self._run(lambda: self._control.entry("requests", request_id))

    def leads(self) -> list[dict[str, Any]]:
        """Return every lead stored."""
        return self._all("leads")

    def lead(self, lead_id: str) -> dict[str, Any] | None:
        """
        Return one lead, None when there is none.

        :param lead_id: Its id.
        """
        return self._run(lambda: self._control.entry("leads", lead_id))

    def activities(self) -> list[dict[str, Any]]:
        """Return every Lead Capture activity."""
        return self._all("activities")

    def _all(self, book: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page: Any = self._page(book, after)
            items += page["items"]
            after = page["next"]
        return items

    def _page(self, book: str, after: int) -> object:
        return self._run(lambda: self._control.page(book, after, MAX_PAGE_SIZE))

    def _run(self, action: Callable[[], T]) -> T:
        """Run on the server's thread, the only one that may touch the account while it serves."""
        if self._loop is None:
            return action()

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
