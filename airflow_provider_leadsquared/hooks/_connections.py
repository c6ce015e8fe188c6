"""The connections of many calls at once, and the time that a call on them may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import aiohttp
from aiohttp.connector import Connection
from multidict import CIMultiDict
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from yarl import URL

from airflow_provider_leadsquared.api.errors import SendingExpiredError
from airflow_provider_leadsquared.api.requests import Request

#: How often it is checked, at least, whether a call has taken too long.
_LONGEST_CHECK = 1.0


@dataclass(slots=True, eq=False)
class Sending:
    """
    The sending of one request by the present task.

    :param request: The request, for messages.
    :param timeout: Seconds to wait for each part of the response.
    :param ends_at: When the whole call has taken too long, on the event loop's clock.
    :param may_begin: Asked when there is a connection, as the last thing before the request is written.
    """

    request: Request
    timeout: float
    ends_at: float
    may_begin: Callable[[], bool] | None = None
    #: Something may have been written.
    has_begun: bool = False
    #: The call took too long, and was ended.
    is_cut_off: bool = False
    _due: float = field(init=False)
    _task: asyncio.Task[Any] | None = field(init=False)

    def __post_init__(self) -> None:
        self._due, self._task = self.ends_at, asyncio.current_task()

    def expect(self, now: float) -> None:
        """Note that the next part of the response has to come within the timeout from now on."""
        self._due = min(now + self.timeout, self.ends_at)

    def check(self, now: float) -> None:
        """End the call if what is waited for has not come in time: its task is cancelled, and it says why."""
        if now >= self._due and self._task is not None and not self.is_cut_off:
            self.is_cut_off = True
            self._task.cancel()

    def was_cancelled_by_others(self) -> bool:
        """Tell whether the task of a call that was ended is to be cancelled for another reason as well."""
        return self._task is not None and self._task.uncancel() > 0


#: The sending that the present task is about; aiohttp hands a connector nothing of the caller's.
SENDING: ContextVar[Sending | None] = ContextVar("sending", default=None)


class Connector(aiohttp.TCPConnector):
    """Gives out connections, and asks once more before each whether its request may still be sent."""

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """
        Return a connection for one request.

        :raises SendingExpiredError: The request may not be sent any more.
        """
        connection = await super().connect(*args, **options)
        sending = SENDING.get()
        if sending is not None:
            if sending.may_begin is not None and not sending.may_begin():
                connection.release()
                raise SendingExpiredError(f"{sending.request.label}: not sent, because the time to send it had passed")
            sending.has_begun = True
            sending.expect(self._loop.time())
        return connection


class Connections:
    """
    The connections to one host, closed at the end of the ``async with`` block.

    A server may close a connection that is kept for the next call just when that call is written; nobody knows then
    whether the call was read. So what may not be repeated goes on a connection of its own; and so does all that follows
    when it has happened once.

    :param url: The host, with its scheme. The environment's proxy for it (``HTTPS_PROXY``, ``NO_PROXY`` and so on) is
        found once, as ``requests`` finds it.
    :param limit: How many there are at the same time.
    :param timeout: Seconds to connect, and to wait for each part of a response; a whole call gets twice as many.
    :param user_agent: The header of that name.
    """

    def __init__(self, url: str, limit: int, *, timeout: float, user_agent: str) -> None:
        #: Connections are kept for the next call. Set to False when the server closes them.
        self.are_kept = True
        self._limit, self._user_agent = limit, user_agent
        self._proxy = _proxy_for(url)
        self._timeout = timeout
        self._kept, self._of_one_call = self._session(force_close=False), self._session(force_close=True)
        self._under_way: set[Sending] = set()
        self._checking: asyncio.Task[None]
        self._headers: tuple[Mapping[str, str], CIMultiDict[str]] = ({}, CIMultiDict())

    def session(self, *, may_repeat: bool) -> aiohttp.ClientSession:
        """
        Return the session for a call.

        :param may_repeat: Whether the call may be made again when nobody knows if it was read.
        """
        return self._kept if may_repeat and self.are_kept else self._of_one_call

    def begin(self, request: Request, may_begin: Callable[[], bool] | None) -> Sending:
        """
        Return a new sending by the present task, which is ended when a part of its response does not come in time.

        :param request: What is sent.
        :param may_begin: As for :class:`Sending`.
        """
        ends_at = asyncio.get_running_loop().time() + 2 * self._timeout
        sending = Sending(request, self._timeout, ends_at, may_begin)
        self._under_way.add(sending)
        return sending

    def end(self, sending: Sending) -> None:
        """Forget a sending."""
        self._under_way.discard(sending)

    def headers(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        """Return headers as aiohttp takes them; those of the call before are not read again."""
        if self._headers[0] is not headers:
            self._headers = headers, CIMultiDict(headers)
        return self._headers[1]

    async def __aenter__(self) -> Self:
        """Return the connections."""
        self._checking = asyncio.create_task(self._check())
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close them."""
        self._checking.cancel()
        await self._kept.close()
        await self._of_one_call.close()

    async def _check(self) -> None:
        """End calls to which nothing comes any more; aiohttp itself would set three timers for each."""
        loop, pause = asyncio.get_running_loop(), min(_LONGEST_CHECK, self._timeout / 4)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for sending in self._under_way:
                sending.check(now)

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(limit=self._limit, force_close=force_close),
            cookie_jar=aiohttp.DummyCookieJar(),
            # What comes after that is checked here.
            timeout=aiohttp.ClientTimeout(total=None, connect=2 * self._timeout, sock_connect=self._timeout),
            headers={"User-Agent": self._user_agent},
            proxy=self._proxy,  # with trust_env, aiohttp would look for it before each call, in a thread
        )


@lru_cache(maxsize=8)  # the submissions of a run have the same
def parsed_url(url: str) -> URL:
    """Return a URL as aiohttp takes it."""
    return URL(url, encoded=True)


def _proxy_for(url: str) -> str | None:
    proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    if proxy is None:
        return None
    try:
        return str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]  # it has no types
    except ValueError:
        return proxy  # no address: aiohttp refuses it, call by call, before anything is sent
