"""Reading calls of tasks, one at a time, in place of ``requests``: queue metrics, which may be wrong."""

from __future__ import annotations

import json
import random
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_leadsquared.api.requests import Request, Response
from airflow_provider_leadsquared.hooks import _transport
from airflow_provider_leadsquared.sandbox import protocol
from airflow_provider_leadsquared.sandbox.faults import CallFaults
from airflow_provider_leadsquared.sandbox.protocol import Call
from tests.simulation.call_faults import LATE, LOST, REFUSED
from tests.simulation.responding import headers_of
from tests.simulation.timeline import Worker
from tests.simulation.wire import READ_TIMEOUT, Wire


def get(wire: Wire, worker: Worker, request: Request) -> Response:
    """
    Make one reading call.

    :raises ApiError: No response came.
    """
    worker.step("get")
    endpoint, trouble = wire.meet(worker, request.endpoint.method, request.url)
    kind = trouble.kind if trouble else None
    worker.sleep(READ_TIMEOUT if kind in (LOST, LATE) else 0.1 + worker.rng.random())
    if kind is not None:
        raise _transport._failure(request, sent=kind != REFUSED, kind=kind)
    parts = urlsplit(request.url)
    query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    wire.account.run_due()
    faults = CallFaults(trouble.faults if trouble else {})
    response = protocol.respond(wire.account, Call(endpoint, query, headers, b""), faults)
    worker.step("response")
    # Metrics with one error that lasts are drawn anew in the same way.
    rng = worker.rng if wire.metrics_error is None else random.Random(wire.metrics_error)  # noqa: S311 - draws cases
    body = lying(response.body, rng) if wire.metrics_lie else response.body
    return Response(response.http, body, response.content_type, headers_of(response, wire.account))


def lying(body: bytes, rng: random.Random) -> bytes:
    """Return queue metrics that are wrong: too few, too many, none, below zero, of another type, or not there."""
    try:
        figures = json.loads(body)
    except ValueError:  # a fault has taken the body's place
        return body
    if not isinstance(figures, dict) or "PendingMessages" not in figures or rng.random() < 0.3:
        return body
    name = rng.choice(list(figures))
    true = figures.pop(name)
    wrong = rng.choice(
        (0, 0, 1, int(50 * true), int(true / 50), 0.001, 10**9, -1, None, "many", float("nan"), "left out")
    )
    if wrong != "left out":
        figures[name] = wrong
    if rng.random() < 0.2:
        figures = {name.upper(): value for name, value in figures.items()}
    return json.dumps(figures).encode()
