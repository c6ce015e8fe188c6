"""The connections of many calls at once."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import aiohttp
from aiohttp.connector import Connection
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from yarl import URL

from airflow_provider_leadsquared.api.errors import SendingExpiredError


@dataclass(slots=True)
class Sending:
    """
    The sending of one request.

    :param label: The name of the call, for the message.
    :param may_begin: Asked when there is a connection, as the last thing before the request is written.
    :param has_begun: Something may have been written.
    """

    label: str
    may_begin: Callable[[], bool] | None = None
    has_begun: bool = False


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
                raise SendingExpiredError(f"{sending.label}: not sent, because the time to send it had passed")
            sending.has_begun = True
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
        self._timeout = aiohttp.ClientTimeout(total=2 * timeout, sock_connect=timeout, sock_read=timeout)
        self._kept, self._of_one_call = self._session(force_close=False), self._session(force_close=True)

    def session(self, *, may_repeat: bool) -> aiohttp.ClientSession:
        """
        Return the session for a call.

        :param may_repeat: Whether the call may be made again when nobody knows if it was read.
        """
        return self._kept if may_repeat and self.are_kept else self._of_one_call

    async def __aenter__(self) -> Self:
        """Return the connections."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close them."""
        await self._kept.close()
        await self._of_one_call.close()

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(limit=self._limit, force_close=force_close),
            timeout=self._timeout,
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
