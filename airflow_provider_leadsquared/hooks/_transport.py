"""
Sending a request: ``requests`` for one call, ``aiohttp`` for many.

Exceptions of both libraries quote the URL, and with it the keys, so none of them leaves this module: each is replaced
by one of ours, without its cause.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    NoConnectionError,
    NoResponseError,
    UnexpectedResponseError,
)
from airflow_provider_leadsquared.api.rate_limits import retry_after
from airflow_provider_leadsquared.api.requests import Request, Response

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from airflow_provider_leadsquared.hooks._connections import Connections, Sending
    from airflow_provider_leadsquared.hooks._session import SingleCallSession

Result = TypeVar("Result")

#: A longer response is cut off and refused. Lead field metadata of large accounts, the longest response, is a few MB.
LARGEST_RESPONSE = 32 * 1024 * 1024

#: Loggers of the HTTP libraries that may show a URL.
GUARDED_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "aiohttp.client", "aiohttp.internal")

_PART = 1 << 16

_KEPT_HEADERS = ("Date", "Retry-After")

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_QUERY = re.compile(r"\?[^\s\"']*")


def send(session: SingleCallSession, request: Request, timeout: float) -> Response:
    """
    Make one call.

    :param session: A session of the call's own.
    :param timeout: Seconds to connect, and to wait for each part of the response; the whole call gets twice as many.
    :raises NoConnectionError: Nothing was sent.
    :raises NoResponseError: It was sent, and no complete response came.
    :raises UnexpectedResponseError: The response is too long.
    """
    import requests
    import urllib3

    watchdog = threading.Timer(2 * timeout, session.cut_off)
    watchdog.daemon = True
    watchdog.start()
    try:
        with session.request(
            request.endpoint.method,
            request.url,
            headers=dict(request.headers),
            data=request.body,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            parts, size = [], 0
            while size <= LARGEST_RESPONSE and (part := response.raw.read(_PART, decode_content=True)):
                parts.append(part)
                size += len(part)
            result = _response(request, response.status_code, b"".join(parts), response.headers)
        kind = "TimeoutError"
    except requests.exceptions.ConnectionError as error:
        kind = type(getattr(error.args[0] if error.args else None, "reason", None) or error).__name__
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        kind = type(error).__name__
    else:
        # A body without a stated length that was cut off looks like a complete one.
        if not session.is_cut_off:
            return result
    finally:
        watchdog.cancel()
    raise _failure(request, sent=session.connected, kind="TimeoutError" if session.is_cut_off else kind)


async def send_async(
    connections: Connections,
    request: Request,
    *,
    may_repeat: bool = True,
    may_send: Callable[[], bool] | None = None,
) -> Response:
    """
    Make one of many calls.

    :param connections: The connections of these calls.
    :param may_repeat: Whether the call may be made again when nobody knows if it was read.
    :param may_send: Asked when there is a connection, as the last thing before the request is written. Default: yes.
    :raises SendingExpiredError: ``may_send`` returned False; nothing was sent.
    :raises NoConnectionError: Nothing was sent.
    :raises NoResponseError: It was sent, and no complete response came.
    :raises UnexpectedResponseError: The response is too long.
    """
    import aiohttp

    from airflow_provider_leadsquared.hooks._connections import SENDING, parsed_url

    sending = connections.begin(request, may_send)
    token = SENDING.set(sending)
    try:
        async with connections.session(may_repeat=may_repeat).request(
            request.endpoint.method,
            parsed_url(request.url),
            headers=connections.headers(request.headers),
            data=request.body,
            allow_redirects=False,
        ) as response:
            result = _response(request, response.status, await _body_of(response, sending), response.headers)
    except asyncio.CancelledError:
        if not sending.is_cut_off or sending.was_cancelled_by_others():
            raise
        kind = "TimeoutError"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:  # ValueError: no address of a proxy
        kind = type(error).__name__
        if sending.has_begun and isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            connections.are_kept = False
    else:
        return result
    finally:
        SENDING.reset(token)
        connections.end(sending)
    raise _failure(request, sent=sending.has_begun, kind=kind)


async def _body_of(response: ClientResponse, sending: Sending) -> bytes:
    """Return the body, cut off if it is too long."""
    loop = asyncio.get_running_loop()
    sending.expect(loop.time())
    # What is compressed may be longer than it says.
    if (response.content_length or LARGEST_RESPONSE) <= _PART and "Content-Encoding" not in response.headers:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_chunked(_PART):
        sending.expect(loop.time())
        parts.append(part)
        size += len(part)
        if size > LARGEST_RESPONSE:
            break
    return b"".join(parts)


def read(reader: Callable[..., Result], request: Request, response: Response, *arguments: Any) -> Result:
    """
    Read a response, and let the error that it reports say how long to wait if the response states it.

    :param reader: A reader of ``api.responses``; takes request, response and further arguments.
    """
    try:
        return reader(request, response, *arguments)
    except ApiError as error:
        stated = retry_after(response.headers, time.time())
        if stated is not None:
            error.retry_after = max(stated, error.retry_after or 0.0)
        raise


def _response(request: Request, status_code: int, body: bytes, headers: Mapping[str, str]) -> Response:
    if len(body) > LARGEST_RESPONSE:
        raise UnexpectedResponseError(
            f"{request.label}: HTTP {status_code} with more than {LARGEST_RESPONSE:,} bytes, cut off; "
            "check the connection's hosts"
        )
    kept = {name: value for name in _KEPT_HEADERS if (value := headers.get(name)) is not None}
    return Response(status_code, body, _media_type(headers.get("Content-Type", "")), kept)


@lru_cache(maxsize=16)  # the responses of a run have the same
def _media_type(content_type: str) -> str:
    media_type = content_type.partition(";")[0].strip()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else ""


def _failure(request: Request, *, sent: bool, kind: str) -> NoResponseError | NoConnectionError:
    host = urlsplit(request.url).netloc  # no key can be in it: an account's host is nothing but a name and a port
    if sent:
        return NoResponseError(f"{request.label}: sent, but no complete response came back from {host} ({kind})")
    return NoConnectionError(f"{request.label}: no connection to {host} ({kind}); check host, network and proxy")


class QueryFilter(logging.Filter):
    """Cut queries out of log records: urllib3 logs every path with its query at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record without any query; never drops it."""
        record.msg, record.args = _QUERY.sub("?***", record.getMessage()), ()
        return True


def guard_library_logs() -> None:
    """Put the filter on the loggers of the HTTP libraries, once."""
    for name in GUARDED_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, QueryFilter) for each in logger.filters):
            logger.addFilter(QueryFilter())
