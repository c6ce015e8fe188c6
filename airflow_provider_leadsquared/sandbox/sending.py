"""How a response leaves the sandbox: whole, in part, or not at all, and what becomes of its connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import weakref
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from airflow_provider_leadsquared.sandbox.fault_kinds import Stage
from airflow_provider_leadsquared.sandbox.faults import CallFaults
from airflow_provider_leadsquared.sandbox.responses import Response

_ends_at_next_call: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
"""Connections that are reset when the next call comes on them."""


def is_at_its_end(request: web.Request) -> bool:
    """
    Return whether a ``close_connection`` fault has ended the connection before this call.

    :param request: The call.
    """
    return request.transport in _ends_at_next_call


async def send(request: web.Request, response: Response, faults: CallFaults) -> web.StreamResponse:
    """
    Send a response as the faults allow.

    :param request: The call.
    :param response: The response.
    :param faults: The faults of the call. Those of delivery, delay and closing take effect here.
    """
    if (slow := faults.parameters(Stage.DELAY, "slow")) is not None:
        await asyncio.sleep(slow["seconds"])
    if (lost := faults.parameters(Stage.DELIVERY, "lost_response")) is not None:
        if lost["how"] == "hang":
            await asyncio.sleep(lost["seconds"])
        return reset_connection(request)
    if Stage.DELIVERY in faults.by_stage:
        return await _send_half(request, response)
    whole = as_web_response(response)
    closing = faults.parameters(Stage.CLOSING, "close_connection")
    return whole if closing is None else await _send_and_close(request, whole, closing)


def as_web_response(response: Response) -> web.Response:
    """
    Return a response as aiohttp sends it.

    :param response: The response.
    """
    return web.Response(
        status=response.http, body=response.body, content_type=response.content_type, headers=dict(response.headers)
    )


def reset_connection(request: web.Request) -> web.Response:
    """
    Reset the connection. The response that is returned is never sent; aiohttp needs one.

    :param request: The call on it.
    """
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # SO_LINGER with 0 seconds closes the connection with RST, as a broken host does, and not with FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _send_half(request: web.Request, response: Response) -> web.StreamResponse:
    half = web.StreamResponse(status=response.http, headers={"Content-Length": str(len(response.body))})
    half.content_type = response.content_type
    with contextlib.suppress(ConnectionError):
        await half.prepare(request)
        await half.write(response.body[: len(response.body) // 2])
    return reset_connection(request)


async def _send_and_close(
    request: web.Request, response: web.Response, closing: Mapping[str, Any]
) -> web.StreamResponse:
    if closing["when"] == "announced":
        response.force_close()
        return response
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
    if (transport := request.transport) is not None:
        if closing["when"] == "at_next_call":
            _ends_at_next_call.add(transport)
        else:
            transport.close()
    return response
