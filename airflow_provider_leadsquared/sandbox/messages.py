"""The bodies LeadSquared and its gateway answer with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input
from airflow_provider_leadsquared.sandbox.queue import Request, State
from airflow_provider_leadsquared.sandbox.settings import Settings

ACCEPTED = "Request accepted. Please use below request id to check the status"
_COMPLETED = "Request was successfully completed"
_GATEWAY_TEXTS = {
    400: ("BadRequestException", "Invalid request body"),
    429: ("TooManyRequestsException", "Too Many Requests"),
    500: ("InternalServerErrorException", "Internal server error"),
    502: ("InternalServerErrorException", "Internal server error"),
    504: ("IntegrationTimeoutException", "Endpoint request timed out"),
    413: ("RequestTooLargeException", "Request Too Long"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, with the request it is about and the status word it tells."""

    http: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    request_id: str | None = None
    status: str | None = None


def json_answer(body: object, http: int = 200, **more: Any) -> Answer:
    """
    Return a JSON answer.

    :param body: What to serialise.
    :param http: The code.
    :param more: Further parts of the :class:`Answer`.
    """
    return Answer(http, _dump(body).encode(), **more)


def _dump(body: object) -> str:
    return json.dumps(body, separators=(",", ":"))


def error(mx: MXError, http: int) -> Answer:
    """
    Return LeadSquared's own error.

    :param mx: The error.
    :param http: The code.
    """
    return json_answer(mx.body(), http)


def gateway(http: int) -> Answer:
    """
    Return a stock error of the AWS gateway.

    :param http: The code.
    """
    kind, text = _GATEWAY_TEXTS[http]
    return json_answer({"message": text}, http, headers={"x-amzn-ErrorType": kind})


def forbidden() -> Answer:
    """Return the gateway's answer to a missing or wrong ``x-api-key``."""
    return json_answer({"message": "Forbidden"}, 403, headers={"x-amzn-ErrorType": "ForbiddenException"})


def no_such_path(is_async: bool) -> Answer:
    """
    Return the answer to a path or method that does not exist.

    :param is_async: Whether it was sought on the async host.
    """
    if is_async:
        headers = {"x-amzn-ErrorType": "MissingAuthenticationTokenException"}
        return json_answer({"message": "Missing Authentication Token"}, 403, headers=headers)
    return Answer(404, b"<html><body><p>Endpoint not found.</p></body></html>", content_type="text/html")


def wrong_keys() -> Answer:
    """Return the answer to a missing or wrong key pair."""
    return error(MXError("MXInvalidAccessDetailsException", "Invalid Access Details provided."), 401)


def wrong_host(host: str) -> Answer:
    """
    Return the answer of a host that is not the account's.

    :param host: The account's own host.
    """
    text = f"Unauthorized. This account is served by {host}."
    return error(MXError("MXUnauthorizedRequestException", text), 401)


def over_limit(shape: str, limit: int) -> Answer:
    """
    Tell that the call limit is exceeded.

    :param shape: Which of the three shapes seen: ``429``, ``403`` or ``200``.
    :param limit: Calls allowed in 5 seconds.
    """
    text = f"API calls exceeded the limit of {limit} in 5 second(s)"
    return error(MXError("MXAPIRateLimitExceededException", text), int(shape))


def bad_body(is_async: bool) -> Answer:
    """
    Return the answer to a body that is not one array of attribute/value pairs.

    :param is_async: Whether it was sent to the async host.
    """
    if is_async:
        return gateway(400)
    text = "There was an error deserializing the object of type LeadFieldKeyValuePair[]."
    return error(MXError("SerializationException", text), 400)


def accepted(request: Request) -> Answer:
    """
    Return the receipt of a submission, which says nothing of the lead's validity.

    :param request: The request it got.
    """
    return json_answer({"Status": ACCEPTED, "RequestID": request.id}, request_id=request.id)


def unknown_request(request_id: str, settings: Settings) -> Answer:
    """
    Return the answer to a RequestID that the account does not know.

    :param request_id: The id asked for.
    :param settings: Which of the three shapes.
    """
    if settings.unknown_request == "200":
        return json_answer({settings.status_id_key: request_id}, request_id=request_id)
    http = int(settings.unknown_request)
    return json_answer(invalid_input("RequestID").body(), http, request_id=request_id)


def status(request: Request, settings: Settings, instead: str | None = None) -> Answer:
    """
    Return what the status API tells about a request.

    :param request: The request.
    :param settings: Words and shapes.
    :param instead: A status word to show in place of the true one.
    """
    message: object = None
    last_step = "In-Process-Queue" if request.attempts else None
    match request.state:
        case _ if instead is not None:
            word, reason = instead, "Request is being processed"
        case State.SUCCEEDED:
            word, reason = settings.word_success, _COMPLETED
            message = request.captured.body() if request.captured else None
        case State.REJECTED if settings.rejection_shape == "inner":
            word, reason = settings.word_success, _COMPLETED
            message = request.rejection.body() if request.rejection else None
        case State.REJECTED:
            word, reason = settings.word_rejected, str(request.rejection)
        case State.FAILED:
            word, reason = settings.word_failed, "Request failed because of a system error after all retries"
        case State.RETRYING:
            word, reason = settings.between_retries, "Request is waiting for a retry after a system error"
        case _:
            word, reason = settings.word_queued, "Request is waiting in the queue"
    is_settled = instead is None and request.settled_at is not None
    if message is not None and settings.status_message == "string":
        message = _dump(message)
    body = {
        settings.status_id_key: request.id,
        "TaskStatus": {
            "TaskType": "Lead Capture",
            "Status": word,
            "StatusReason": reason,
            "TaskCurrentStep": None if is_settled else "In-Queue",
            "TaskLastStep": last_step,
            "RequestBody": request.body,
            "Message": message,
        },
    }
    return json_answer(body, request_id=request.id, status=word)


def metrics(pending: int, delay: int, rate: float, settings: Settings) -> Answer:
    """
    Return the queue's metrics.

    :param pending: Requests waiting.
    :param delay: Seconds until the queue is worked off.
    :param rate: Requests handled per minute.
    :param settings: How the rate is spelled.
    """
    return json_answer(
        {"PendingMessages": pending, "MaxDelayInSeconds": delay, settings.metrics_rate_key: round(rate, 1)}
    )


def user(host: str, settings: Settings) -> Answer:
    """
    Return the description of the keys' owner, which names the account's own host.

    :param host: The host called.
    :param settings: The account.
    """
    home = settings.sync_host or host
    return json_answer(
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
            "OrgShortCode": "90001",
            "OrgUniqueName": "sandbox",
            "DefaultCountryCode": settings.country_code,
            "MobileServiceURLs": {},
            "LSQCommonServiceURLs": {"api": home, "app": home, "tracking": home},
        }
    )


def garbage(shape: str, endpoint: str, megabytes: int) -> Answer:
    """
    Return a 200 that makes no sense.

    :param shape: How it fails to.
    :param endpoint: The endpoint called, whose answer a wrong type imitates.
    :param megabytes: Size of a huge one.
    """
    match shape:
        case "html":
            return Answer(200, b"<!doctype html><title>Sign in</title><p>Please sign in.</p>", content_type="text/html")
        case "broken_json":
            return Answer(200, b'{"Status":"Request acc')
        case "empty":
            return Answer(200, b"")
        case "huge":
            return Answer(200, b'{"Status":"' + b"x" * (megabytes << 20) + b'"}')
        case "no_request_id":
            return json_answer({"Status": ACCEPTED} if endpoint == "capture" else {"Status": "Success"})
    if endpoint == "capture":
        return json_answer({"Status": 200, "RequestID": {"id": [1]}})
    if endpoint == "status":
        return json_answer({"RequestId": 7, "TaskStatus": "Success"})
    return json_answer([None, 1, "Status"])
