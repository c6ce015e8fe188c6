"""What a response of the sandbox says, and how it is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from airflow_provider_leadsquared.sandbox import responses
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.queue import Request, State


def id_in(response: responses.Response) -> Any:
    """Return the RequestId that a receipt names."""
    try:
        body = json.loads(response.body)
    except ValueError:
        return None  # a page, or what is left of a receipt
    return body.get("RequestID") if isinstance(body, dict) else None


def is_shown(request: Request) -> bool:
    """Tell whether a poll now got the verdict of a request."""
    planned = request.planned
    # A system error is a verdict only once the longest reading of the retries is over.
    is_settled = request.state in (State.SUCCEEDED, State.REJECTED)
    return is_settled and request.polls > max(planned.flap_polls, planned.hidden_polls)


def named_failure(request: Request | None, response: responses.Response) -> responses.Response:
    """Return a status between retries as a failure that has the system error's name."""
    if request is None or request.state is not State.RETRYING or response.http != 200:
        return response
    body = json.loads(response.body)
    status = body.get("TaskStatus") if isinstance(body, dict) else None
    if not isinstance(status, dict):
        return response
    body["TaskStatus"] = {**status, "Status": "FAILURE", "StatusReason": "SqlException: Timeout expired"}
    return replace(response, body=json.dumps(body).encode())


def headers_of(response: responses.Response, account: Account) -> dict[str, str]:
    """Return a response's headers as they are sent."""
    headers = {"Content-Type": response.content_type, **response.headers}
    server_time = account.server_time()
    return headers if server_time is None else {**headers, "Date": responses.http_date(server_time)}
