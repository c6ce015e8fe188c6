"""
What each endpoint demands and does: from a call as data to an answer as data.

Both hosts live here side by side. The gateway of the async host looks at the ``x-api-key`` before anything else, then
LeadSquared looks at host, key pair and body, in that order.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_leadsquared.sandbox import messages
from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.capture import read_pairs
from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input
from airflow_provider_leadsquared.sandbox.faults import Fault, Plan, Way
from airflow_provider_leadsquared.sandbox.messages import Answer
from airflow_provider_leadsquared.sandbox.queue import State

MAX_BODY = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: where it is, and which keys it demands."""

    name: str
    method: str
    path: str
    needs_pair: bool = True

    @property
    def is_async(self) -> bool:
        """Whether it lives on the async host."""
        return not self.path.startswith("/v2/")


_LEADS = "/v2/LeadManagement.svc"
ENDPOINTS = (
    Endpoint("capture", "POST", "/lead/capture"),
    Endpoint("status", "GET", "/lead/status", needs_pair=False),
    Endpoint("metrics", "GET", "/lead/capture/metrics", needs_pair=False),
    Endpoint("metrics", "GET", "/lead/metrics", needs_pair=False),
    Endpoint("sync_capture", "POST", f"{_LEADS}/Lead.Capture"),
    Endpoint("lead_fields", "GET", f"{_LEADS}/LeadsMetaData.Get"),
    Endpoint("lead_by_id", "GET", f"{_LEADS}/Leads.GetById"),
    Endpoint("lead_by_email", "GET", f"{_LEADS}/Leads.GetByEmailaddress"),
    Endpoint("user", "GET", "/v2/Authentication.svc/UserByAccessKey.Get"),
)
ENDPOINT_NAMES = frozenset(endpoint.name for endpoint in ENDPOINTS)


@dataclass(frozen=True, slots=True)
class Call:
    """One call received; names of query parameters and headers are in lower case."""

    endpoint: Endpoint
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


def answer(account: Account, call: Call, plan: Plan) -> Answer:
    """
    Answer a call, unless a fault answers instead.

    :param account: The account.
    :param call: The call.
    :param plan: The faults that strike the call.
    """
    account.catch_up()
    instead = plan.struck.get(Way.INSTEAD)
    if instead is None:
        return _proper_answer(account, call, plan)
    proper = _proper_answer(account, call, plan) if instead.parameters.get("accepted") else None
    replaced = _answer_instead(account, call, instead)
    if proper is not None:
        # The record still tells what was done, although the client will not know.
        return replace(replaced, request_id=proper.request_id)
    return replaced


def _answer_instead(account: Account, call: Call, fault: Fault) -> Answer:
    p = fault.parameters
    match fault.kind:
        case "unavailable":
            return Answer(
                503, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>", {}, "text/html"
            )
        case "rate_limit":
            return messages.over_limit(p["shape"], p["limit"])
        case "error":
            return messages.error(MXError(p["exception"], p["message"]), p["http"])
        case "gateway":
            return messages.gateway(p["http"])
        case "garbage":
            return messages.garbage(p["shape"], call.endpoint.name, p["megabytes"])
        case "wrong_host":
            return messages.wrong_host(p["host"])
        case "keys_revoked":
            return messages.wrong_keys() if call.endpoint.needs_pair else messages.forbidden()
        case _:
            return messages.unknown_request(call.query.get("requestid", ""), account.settings)


def _proper_answer(account: Account, call: Call, plan: Plan) -> Answer:
    if refusal := _refusal(account, call):
        return refusal
    match call.endpoint.name:
        case "capture":
            return _capture(account, call, plan)
        case "status":
            return _status(account, call)
        case "metrics":
            figures = account.queue.metrics(account.clock.now(), account.settings)
            return messages.metrics(*figures, account.settings)
        case "sync_capture":
            return _sync_capture(account, call)
        case "lead_fields":
            return _lead_fields(account, call)
        case "lead_by_id":
            lead = account.store.leads.get(call.query.get("id", ""))
        case "lead_by_email":
            lead = account.store.find("EmailAddress", call.query.get("emailaddress", ""))
        case _:
            return messages.user(call.headers.get("host", ""), account.settings)
    return messages.json_answer([lead.flat(list(account.schema.fields))] if lead else [])


def _refusal(account: Account, call: Call) -> Answer | None:
    """Return why a call may not be made at all, if so."""
    settings, endpoint = account.settings, call.endpoint
    if endpoint.is_async:
        if not _same(call.headers.get("x-api-key"), settings.api_key):
            return messages.forbidden()
        if endpoint.name == "metrics" and not settings.metrics:
            return messages.no_such_path(is_async=True)
    home = settings.async_host if endpoint.is_async else settings.sync_host
    host = call.headers.get("host", "").partition(":")[0]
    if home and host != home.partition(":")[0] and endpoint.name != "user":
        return messages.wrong_host(home)
    needs_pair = endpoint.needs_pair or (endpoint.name == "metrics" and settings.metrics_need_keys)
    if needs_pair and not _has_pair(account, call):
        return messages.wrong_keys()
    if (not endpoint.is_async or settings.rate_limit_async) and account.is_over_limit():
        return messages.over_limit(settings.rate_limit_shape, settings.rate_limit)
    return None


def _has_pair(account: Account, call: Call) -> bool:
    access, secret = call.query.get("accesskey"), call.query.get("secretkey")
    if access is None and secret is None and (not call.endpoint.is_async or account.settings.async_header_keys):
        access, secret = call.headers.get("x-lsq-accesskey"), call.headers.get("x-lsq-secretkey")
    return _same(access, account.settings.access_key) and _same(secret, account.settings.secret_key)


def _same(given: str | None, wanted: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _text(call: Call) -> str:
    """Return the body of a submission; anything but JSON in UTF-8 by name and by nature is a ValueError."""
    media_type, _, parameters = call.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise ValueError("not JSON in UTF-8")
    return call.body.decode()


def _capture(account: Account, call: Call, plan: Plan) -> Answer:
    try:
        text = _text(call)
        read_pairs(text)
    except ValueError:
        return messages.bad_body(is_async=True)
    behavior = call.query.get("leadupdatebehavior") if account.settings.async_update_behavior else None
    return messages.accepted(account.submit(text, behavior or None, plan.fate()))


def _status(account: Account, call: Call) -> Answer:
    request_id = call.query.get("requestid", "")
    if not request_id:
        return messages.error(invalid_input("RequestID"), 400)
    request = account.queue.requests.get(request_id)
    if request is None:
        return messages.unknown_request(request_id, account.settings)
    request.looks += 1
    fate = request.fate
    if request.looks <= fate.hidden_looks or (request.state is State.LOST and fate.lost == "unknown"):
        return messages.unknown_request(request_id, account.settings)
    flapping = fate.flap and request.looks <= fate.flap_looks
    word = fate.flap[(request.looks - 1) % len(fate.flap)] if flapping else None
    return messages.status(request, account.settings, word)


def _sync_capture(account: Account, call: Call) -> Answer:
    try:
        pairs = read_pairs(_text(call))
    except ValueError:
        return messages.bad_body(is_async=False)
    try:
        captured = account.capture(pairs, call.query.get("leadupdatebehavior") or None)
    except MXError as error:
        return messages.error(error, int(account.settings.error_http))
    return messages.json_answer(captured.body())


def _lead_fields(account: Account, call: Call) -> Answer:
    wanted, with_options = call.query.get("schemaname"), call.query.get("excludeoptionsets") != "1"
    return messages.json_answer(
        [
            field.metadata(field.schema_name in account.settings.unique_fields, with_options)
            for field in account.schema.fields.values()
            if wanted in (None, field.schema_name)
        ]
    )
