"""The responses of LeadSquared and of its gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from airflow_provider_leadsquared.sandbox.endpoints import Action
from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input
from airflow_provider_leadsquared.sandbox.queue import Request, State
from airflow_provider_leadsquared.sandbox.settings import Settings

ACCEPTED = "Request accepted. Please use below request id to check the status"
COMPLETED = "Request was successfully completed"
_GATEWAY_TEXTS = {
    400: ("BadRequestException", "Invalid request body"),
    403: ("ForbiddenException", "Forbidden"),
    404: ("NotFoundException", "Not Found"),
    429: ("TooManyRequestsException", "Too Many Requests"),
    500: ("InternalServerErrorException", "Internal server error"),
    502: ("InternalServerErrorException", "Internal server error"),
    503: ("ServiceUnavailableException", "Service Unavailable"),
    504: ("IntegrationTimeoutException", "Endpoint request timed out"),
    413: ("RequestTooLargeException", "Request Too Long"),
}
_TITLES = {code.value: code.phrase for code in HTTPStatus if code != HTTPStatus.OK}


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response."""

    http: int
    """The HTTP code."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    request_id: str | None = None
    """The id of the request that the response is about, for the record."""
    status: str | None = None
    """The ``Status`` of a status response, for the record."""


def json_response(body: object, http: int = 200, **more: Any) -> Response:
    """
    Return a response with a JSON body.

    :param body: The body to serialise.
    :param http: The HTTP code.
    :param more: Other fields of the :class:`Response`.
    """
    return Response(http, json_text(body).encode(), **more)


def http_date(at: float) -> str:
    """
    Return a time as HTTP headers have it. One that has no such form becomes the last second of the year 9999.

    :param at: Seconds since 1970.
    """
    try:
        return formatdate(at, usegmt=True)
    except (OverflowError, ValueError, OSError):
        return "Fri, 31 Dec 9999 23:59:59 GMT"


def json_text(body: object) -> str:
    """
    Return JSON as LeadSquared writes it.

    :param body: The value to serialise.
    """
    return json.dumps(body, separators=(",", ":"))


def error(mx: MXError, http: int) -> Response:
    """
    Return an error of LeadSquared.

    :param mx: The error.
    :param http: The HTTP code.
    """
    return json_response(mx.body(), http)


def gateway(http: int) -> Response:
    """
    Return an error of the AWS gateway.

    :param http: The HTTP code: 400, 403, 404, 413, 429, 500, 502, 503 or 504.
    """
    kind, text = _GATEWAY_TEXTS[http]
    return json_response({"message": text}, http, headers={"x-amzn-ErrorType": kind})


def html_page(http: int, location: str | None = None) -> Response:
    """
    Return an HTML page, as servers between a client and LeadSquared send it.

    :param http: The HTTP code.
    :param location: The address of a redirect, None for any other page.
    """
    title = f"{http} {_TITLES.get(http, 'Sign in')}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>proxy</body></html>"
    headers = {"Location": location} if location else {}
    return Response(http, page.encode(), headers, content_type="text/html")


def forbidden() -> Response:
    """Return the gateway's response to a missing or wrong ``x-api-key``."""
    return json_response({"message": "Forbidden"}, 403, headers={"x-amzn-ErrorType": "ForbiddenException"})


def no_such_path(is_async: bool) -> Response:
    """
    Return the response to a path or method that does not exist.

    :param is_async: Whether the call was to the async host.
    """
    if is_async:
        headers = {"x-amzn-ErrorType": "MissingAuthenticationTokenException"}
        return json_response({"message": "Missing Authentication Token"}, 403, headers=headers)
    return Response(404, b"<html><body><p>Endpoint not found.</p></body></html>", content_type="text/html")


def wrong_keys() -> Response:
    """Return the response to a missing or wrong key pair."""
    return error(MXError("MXInvalidAccessDetailsException", "Invalid Access Details provided."), 401)


def wrong_host(host: str) -> Response:
    """
    Return the response of a host that does not serve the account.

    :param host: The host that does.
    """
    text = f"Unauthorized. This account is served by {host}."
    return error(MXError("MXUnauthorizedRequestException", text), 401)


def over_limit(shape: str, limit: int) -> Response:
    """
    Return the response to a call over the call limit.

    :param shape: The HTTP code: ``429``, ``403`` or ``200``.
    :param limit: Calls allowed in 5 seconds.
    """
    text = f"API calls exceeded the limit of {limit} in 5 second(s)"
    return error(MXError("MXAPIRateLimitExceededException", text), int(shape))


def bad_request(is_async: bool) -> Response:
    """
    Return the response to a body that is not well-formed.

    :param is_async: Whether the call was to the async host.
    """
    if is_async:
        return gateway(400)
    text = "There was an error deserializing the object of type LeadFieldKeyValuePair[]."
    return error(MXError("SerializationException", text), 400)


def accepted(request: Request) -> Response:
    """
    Return the receipt of a submission. Its content was not checked yet.

    :param request: The new request.
    """
    return receipt(request.id_as_sent, request.id)


def receipt(id_as_sent: str | int, request_id: str | None = None) -> Response:
    """
    Return a receipt.

    :param id_as_sent: The RequestID that the client gets.
    :param request_id: The id of the request that was accepted, for the record.
    """
    return json_response({"Status": ACCEPTED, "RequestID": id_as_sent}, request_id=request_id)


def unknown_request(request_id: str, settings: Settings) -> Response:
    """
    Return the response to an unknown RequestID.

    :param request_id: The RequestID of the call.
    :param settings: ``unknown_request``: one of three shapes.
    """
    if settings.unknown_request == "200":
        return json_response({settings.status_id_key: request_id}, request_id=request_id)
    http = int(settings.unknown_request)
    return json_response(invalid_input("RequestID").body(), http, request_id=request_id)


def status(request: Request, settings: Settings, override: str | None = None) -> Response:
    """
    Return the response to a poll of a request.

    :param request: The request.
    :param settings: Status names and shapes.
    :param override: ``Status`` to send in place of the real one; None sends the real one.
    """
    message: object = None
    last_step = "In-Process-Queue" if request.attempts else None
    match request.state:
        case _ if override is not None:
            name, reason = override, "Request is being processed"
        case State.SUCCEEDED:
            name, reason = settings.status_success, COMPLETED
            message = request.result
        case State.REJECTED if settings.rejection_shape == "inner":
            name, reason = settings.status_success, COMPLETED
            message = request.rejection.body() if request.rejection else None
        case State.REJECTED:
            name, reason = settings.status_rejected, str(request.rejection)
        case State.FAILED:
            name, reason = settings.status_failed, "Request failed because of a system error after all retries"
        case State.RETRYING:
            name, reason = settings.status_between_retries, "Request is waiting for a retry after a system error"
        case _:
            name, reason = settings.status_queued, "Request is waiting in the queue"
    is_settled = override is None and request.settled_at is not None
    if message is not None and settings.status_message == "string":
        message = json_text(message)
    body = {
        settings.status_id_key: request.id_as_sent,
        "TaskStatus": {
            "TaskType": request.api.handler.task_type,
            "Status": name,
            "StatusReason": reason,
            "TaskCurrentStep": None if is_settled else "In-Queue",
            "TaskLastStep": last_step,
            "RequestBody": request.body,
            "Message": message,
        },
    }
    return json_response(body, request_id=request.id, status=name)


def metrics(pending: int, delay: int, rate: float, settings: Settings) -> Response:
    """
    Return the metrics of the queue.

    :param pending: Requests that wait for an attempt.
    :param delay: Seconds until all of them were attempted.
    :param rate: Attempts per minute.
    :param settings: ``metrics_rate_key``: the key of the rate.
    """
    return json_response(
        {"PendingMessages": pending, "MaxDelayInSeconds": delay, settings.metrics_rate_key: round(rate, 1)}
    )


def user(host: str, settings: Settings) -> Response:
    """
    Return the user who owns the keys, with the API host of the account.

    :param host: The host called, which is the API host if ``sync_host`` is empty.
    :param settings: ``sync_host`` and ``country_code``.
    """
    api_host = settings.sync_host or host
    return json_response(
        {
            "Class": None,
            "Group": None,
            "SubRegionId": None,
            "Id": "5f0c2d1e-0000-4000-8000-00000000000f",
            "Name": "Sandbox Administrator",
            "PassPhrase": "administrator@sandbox.example",
            "Role": "Administrator",
            "EmailAddress": None,
            "SessionId": None,
            "TimeZone": "Asia/Kolkata",
            "TokenId": None,
            "Type": "User",
            "OrgDisplayName": "Sandbox",
            "OrgId": "1",
            "OrgShortCode": settings.account_code,
            "OrgUniqueName": "sandbox",
            "DefaultCountryCode": settings.country_code,
            "MobileServiceURLs": {},
            "LSQCommonServiceURLs": {"api": api_host, "app": api_host, "tracking": api_host},
        }
    )


def garbage(shape: str, action: Action, megabytes: int) -> Response:
    """
    Return HTTP 200 with a body that is not a valid response.

    :param shape: What is wrong with the body, see the fault ``garbage``.
    :param action: What the call does; the shapes ``no_request_id`` and ``wrong_types`` depend on it.
    :param megabytes: Size of the body of the shape ``huge``.
    """
    match shape:
        case "html":
            return Response(
                200, b"<!doctype html><title>Sign in</title><p>Please sign in.</p>", content_type="text/html"
            )
        case "broken_json":
            return Response(200, b'{"Status":"Request acc')
        case "empty":
            return Response(200, b"")
        case "huge":
            return Response(200, b'{"Status":"' + b"x" * (megabytes << 20) + b'"}')
        case "no_request_id":
            return json_response({"Status": ACCEPTED} if action is Action.SUBMIT else {"Status": "Success"})
    if action is Action.SUBMIT:
        return json_response({"Status": 200, "RequestID": {"id": [1]}})
    if action is Action.STATUS:
        return json_response({"RequestId": 7, "TaskStatus": "Success"})
    return json_response([None, 1, "Status"])
