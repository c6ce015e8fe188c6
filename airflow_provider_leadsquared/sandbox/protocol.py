"""
How the sandbox responds to a call: checks, faults and endpoints, without any sockets.

A *call* is one HTTP request; a *request* is a submission in the queue, known by its RequestID. The gateway of the async
host checks ``x-api-key`` first; then LeadSquared checks host, key pair, call limit and body, in this order.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_leadsquared.sandbox import responses
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.alterations import altered, with_retry_after
from airflow_provider_leadsquared.sandbox.async_apis import AsyncApi
from airflow_provider_leadsquared.sandbox.capture import read_pairs
from airflow_provider_leadsquared.sandbox.endpoints import Action, Endpoint
from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input, lead_not_found
from airflow_provider_leadsquared.sandbox.fault_kinds import Stage
from airflow_provider_leadsquared.sandbox.faults import CallFaults, Fault
from airflow_provider_leadsquared.sandbox.queue import State
from airflow_provider_leadsquared.sandbox.responses import Response
from airflow_provider_leadsquared.sandbox.store import Lead

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a body at most."""
_KEY_PARAMETERS = ("accesskey", "secretkey")


@dataclass(frozen=True, slots=True)
class Call:
    """One call; names of query parameters and headers are in lower case."""

    endpoint: Endpoint
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


def respond(account: Account, call: Call, faults: CallFaults) -> Response:
    """
    Process a call and return its response.

    :param account: The account.
    :param call: The call.
    :param faults: The faults that affect the call. One may replace the response.
    """
    account.run_due()
    response = _response(account, call, faults)
    header = faults.parameters(Stage.HEADER, "retry_after")
    return response if header is None else with_retry_after(response, header, account)


def _response(account: Account, call: Call, faults: CallFaults) -> Response:
    """Return the response before headers are added to it."""
    fault = faults.by_stage.get(Stage.REPLACEMENT)
    if fault is None or (fault.kind == "repeated_request_id" and account.last_receipt is None):
        return altered(account, _normal_response(account, call, faults), faults.by_stage.get(Stage.ALTERATION))
    last_receipt = account.last_receipt
    normal = _normal_response(account, call, faults) if fault.parameters.get("accepted") else None
    account.last_receipt = last_receipt
    replacement = _replacement(account, call, fault)
    if normal is not None:
        # The record shows the accepted request, although the client does not learn its id.
        return replace(replacement, request_id=normal.request_id)
    return replacement


def _replacement(account: Account, call: Call, fault: Fault) -> Response:
    """Return the response that a fault sends in place of the normal one."""
    p = fault.parameters
    match fault.kind:
        case "unavailable":
            return responses.html_page(503)
        case "html_page":
            return responses.html_page(p["http"])
        case "redirect":
            return responses.html_page(p["http"], p["location"])
        case "repeated_request_id":
            return responses.receipt(account.last_receipt or "")
        case "rate_limit":
            return responses.over_limit(p["shape"], p["limit"])
        case "error":
            return responses.error(MXError(p["exception"], p["message"]), p["http"])
        case "gateway":
            return responses.gateway(p["http"])
        case "garbage":
            return responses.garbage(p["shape"], call.endpoint.action, p["megabytes"])
        case "wrong_host":
            return responses.wrong_host(p["host"])
        case "keys_revoked":
            return responses.wrong_keys() if call.endpoint.needs_key_pair else responses.forbidden()
        case _:
            return responses.unknown_request(call.query.get("requestid", ""), account.settings)


def _normal_response(account: Account, call: Call, faults: CallFaults) -> Response:
    """Return the response without faults; ``faults`` only plan the outcome of the request that is submitted."""
    if refusal := _refusal(account, call):
        return refusal
    api = call.endpoint.api
    match call.endpoint.action:
        case Action.SUBMIT if api is not None:
            return _submit(account, call, api, faults)
        case Action.STATUS:
            return _status(account, call)
        case Action.METRICS:
            figures = account.queue.metrics(account.clock.now(), account.settings)
            return responses.metrics(*figures, account.settings)
        case Action.SYNC_CAPTURE:
            return _sync_capture(account, call)
        case Action.LEAD_FIELDS:
            return _lead_fields(account, call)
        case Action.LEAD_BY_ID:
            return _lead_by_id(account, call.query.get("id", ""))
        case Action.LEAD_BY_EMAIL:
            lead = account.store.find("EmailAddress", call.query.get("emailaddress", ""))
        case _:
            return responses.user(call.headers.get("host", ""), account.settings)
    return _read_response(account, lead)


def _lead_by_id(account: Account, lead_id: str) -> Response:
    lead = account.store.lead(lead_id)
    if lead is None and account.store.was_removed(lead_id):
        match account.settings.merged_read:
            case "error":
                return responses.error(lead_not_found(), int(account.settings.error_http))
            case "survivor":
                lead = account.store.survivor(lead_id)
    return _read_response(account, lead)


def _read_response(account: Account, lead: Lead | None) -> Response:
    return responses.json_response([lead.as_read_response(list(account.schema.fields))] if lead else [])


def _refusal(account: Account, call: Call) -> Response | None:
    """Return the response that refuses the call, None if it is allowed."""
    settings, endpoint = account.settings, call.endpoint
    is_metrics = endpoint.action is Action.METRICS
    if endpoint.is_async:
        if not _is_same(call.headers.get("x-api-key"), settings.api_key):
            return responses.forbidden()
        if is_metrics and not settings.metrics:
            return responses.no_such_path(is_async=True)
    right_host = settings.async_host if endpoint.is_async else settings.sync_host
    host = call.headers.get("host", "").partition(":")[0]
    if right_host and host != right_host.partition(":")[0] and endpoint.action is not Action.USER:
        return responses.wrong_host(right_host)
    needs_key_pair = endpoint.needs_key_pair or (is_metrics and settings.metrics_need_keys)
    if needs_key_pair and not _has_key_pair(account, call):
        return responses.wrong_keys()
    if (not endpoint.is_async or settings.rate_limit_async) and account.is_over_limit():
        return responses.over_limit(settings.rate_limit_shape, settings.rate_limit)
    return None


def _has_key_pair(account: Account, call: Call) -> bool:
    access, secret = (call.query.get(name) for name in _KEY_PARAMETERS)
    if access is None and secret is None and (not call.endpoint.is_async or account.settings.async_header_keys):
        access, secret = call.headers.get("x-lsq-accesskey"), call.headers.get("x-lsq-secretkey")
    return _is_same(access, account.settings.access_key) and _is_same(secret, account.settings.secret_key)


def _is_same(given: str | None, expected: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _text(call: Call) -> str:
    """Return the body of a submission; raise ValueError if content type or encoding is not JSON in UTF-8."""
    media_type, _, parameters = call.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise ValueError("not JSON in UTF-8")
    return call.body.decode()


def _submit(account: Account, call: Call, api: AsyncApi, faults: CallFaults) -> Response:
    try:
        text = _text(call)
        api.handler.check(text)
    except ValueError:
        return responses.bad_request(is_async=True)
    parameters = {name: value for name, value in call.query.items() if name not in _KEY_PARAMETERS}
    if not account.settings.async_update_behavior:
        parameters.pop("leadupdatebehavior", None)
    request = account.submit(api, text, parameters, faults.planned_outcome())
    account.last_receipt = request.id_as_sent
    return responses.accepted(request)


def _status(account: Account, call: Call) -> Response:
    request_id = call.query.get("requestid", "")
    if not request_id:
        return responses.error(invalid_input("RequestID"), 400)
    request = account.queue.request(request_id)
    if request is None or request.api.status_path != call.endpoint.path:
        return responses.unknown_request(request_id, account.settings)
    request.polls += 1
    planned = request.planned
    is_forgotten = request.state is State.LOST and planned.lost_status == "unknown"
    if request.polls <= planned.hidden_polls or is_forgotten:
        return responses.unknown_request(request_id, account.settings)
    status = None
    if planned.flap_statuses and request.polls <= planned.flap_polls:
        status = planned.flap_statuses[(request.polls - 1) % len(planned.flap_statuses)]
    return responses.status(request, account.settings, status)


def _sync_capture(account: Account, call: Call) -> Response:
    try:
        pairs = read_pairs(_text(call))
    except ValueError:
        return responses.bad_request(is_async=False)
    try:
        result = account.capture(pairs, call.query.get("leadupdatebehavior") or None)
    except MXError as error:
        return responses.error(error, int(account.settings.error_http))
    return responses.json_response(result.body())


def _lead_fields(account: Account, call: Call) -> Response:
    wanted, with_options = call.query.get("schemaname"), call.query.get("excludeoptionsets") != "1"
    return responses.json_response(
        [
            field.metadata(field.schema_name in account.settings.unique_fields, with_options)
            for field in account.schema.fields.values()
            if wanted in (None, field.schema_name)
        ]
    )
