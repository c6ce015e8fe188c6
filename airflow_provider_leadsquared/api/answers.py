"""
Answers, read: bytes in, a frozen dataclass or a typed exception out.

The rules of this room: the body outranks the HTTP code; names of keys and states are compared without case; a
string may hold JSON; the echo of the lead is dropped here; text that LeadSquared wrote leaves masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_leadsquared.api.errors import (
    AuthenticationError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    ServerError,
    UnexpectedAnswerError,
    UnknownRequestError,
    WrongRegionError,
)
from airflow_provider_leadsquared.api.leads import values_of
from airflow_provider_leadsquared.api.messages import Answer, Request
from airflow_provider_leadsquared.api.privacy import mask_text
from airflow_provider_leadsquared.api.schema import first_error

#: Seconds to wait after a rate limit that names no window; LeadSquared's limits are all "in 5 second(s)".
RATE_WINDOW = 5.0

#: A status answer, its task, the task's message and that message's own: nothing of interest lies deeper.
_ENVELOPE_LEVELS = 4

#: Digits of a count that is taken for one.
_LONGEST_COUNT = 9

#: Characters of an error text in which the right host is looked for.
_LONGEST_PROSE = 2_000

_RATE_LIMIT = re.compile(r"exceeded the limit|rate ?limit|throttl|too many requests|limit exceeded", re.IGNORECASE)
_WINDOW = re.compile(r"in (\d{1,4}) second", re.IGNORECASE)
_AUTHENTICATION = re.compile(r"^MX\w*(unauthori[sz]ed|invalidaccess|authenticationfailed)", re.IGNORECASE)
_LEADSQUARED_HOST = re.compile(r"\b[a-z0-9-]+\.leadsquared\.com\b")
_EXCEPTION_TYPE = re.compile(r"\b[A-Za-z_]\w{0,98}Exception\b")
_APPLICATION_ERROR = re.compile(r"\bMX\w{0,97}Exception\b")


class RequestState(StrEnum):
    """Where one asynchronous request stands, in LeadSquared's words."""

    QUEUED = "IN-QUEUE"
    SUCCEEDED = "SUCCESS"
    FAILED = "FAILURE"
    ERROR = "ERROR"
    #: A word that LeadSquared's pages do not have; never taken for an end.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, word: object) -> RequestState:
        """Map LeadSquared's word, in any case, and the spellings that other integrations met."""
        text = str(word or "").strip().upper()
        aliases = {"QUEUED": cls.QUEUED, "COMPLETED": cls.SUCCEEDED, "FAILED": cls.FAILED}
        return aliases.get(text) or (cls(text) if text in cls._value2member_map_ else cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """
    A submission that LeadSquared put into its queue. It has judged nothing yet.

    :param request_id: The RequestId under which to ask for the outcome.
    :param after_doubt: An earlier sending of the same lead got no answer, and may have been accepted too.
    """

    request_id: str
    after_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """
    A lead that is in the CRM.

    :param lead_id: The lead (LeadSquared's ``RelatedId``).
    :param activity_id: The Lead Capture activity posted on it (``Id``), None if it was not told.
    :param is_created: True for a new lead, False for one that was matched.
    """

    lead_id: str
    activity_id: str | None
    is_created: bool


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """
    What LeadSquared says of one request.

    :param request_id: The request.
    :param state: Where it stands. ``SUCCEEDED`` only if the outer and the inner status both say so.
    :param capture: The outcome of a success, else None.
    :param exception_type: LeadSquared's name for what went wrong, None where it named nothing.
    :param reason: LeadSquared's text on what went wrong, masked; empty where there is none.
    """

    request_id: str
    state: RequestState
    capture: Capture | None = None
    exception_type: str | None = None
    reason: str = ""

    @property
    def is_application_error(self) -> bool:
        """Tell whether the CRM refused the lead itself (``MX…``), which LeadSquared never retries."""
        return (self.exception_type or "").startswith("MX")


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """
    How busy LeadSquared's queue is, in its own estimate.

    :param pending: Requests waiting, roughly.
    :param max_delay: Seconds until the whole queue is worked off, at the longest.
    :param rate_per_minute: Requests handled per minute over the last ten minutes.
    """

    pending: int
    max_delay: float
    rate_per_minute: float


@dataclass(frozen=True, slots=True)
class LeadField:
    """
    One field that the account's leads have.

    :param schema_name: The attribute to send, exactly so.
    :param display_name: Its label in the CRM.
    :param data_type: ``Text``, ``Number``, ``Email``, ``Phone``, ``Date``, ``Select``, ``Boolean``, …
    :param render_type: How the CRM shows it; tells a date from a date with a time.
    :param is_mandatory: A new lead must have it.
    :param max_length: Longest text in characters, None where none is given.
    :param lock_after_create: 0 unless only administrators may change it later.
    :param is_identifier: It identifies a lead, as phone numbers do.
    :param options: Values of a dropdown, empty for other types.
    :param min_length: Least number of digits of a phone, None where none is given.
    """

    schema_name: str
    display_name: str
    data_type: str
    render_type: str
    is_mandatory: bool
    max_length: int | None
    lock_after_create: int
    is_identifier: bool
    options: tuple[str, ...]
    min_length: int | None = None


def read_acceptance(request: Request, answer: Answer) -> Acceptance:
    """
    Read the answer to a submission.

    :raises LeadSquaredError: As the tree of errors has it. Without a RequestId nothing counts as accepted.
    """
    data = _lower(_success(request, answer))
    if first_error("acceptance", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: HTTP {answer.status_code} without a RequestId")
    return Acceptance(data["requestid"])


def read_capture(request: Request, answer: Answer) -> Capture:
    """
    Read the answer to a synchronous capture.

    :raises LeadSquaredError: As the tree of errors has it.
    """
    data = _lower(_success(request, answer))
    if first_error("capture", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: HTTP {answer.status_code} without the captured lead")
    return _capture(data)


def read_status(request: Request, answer: Answer, request_id: str) -> RequestStatus:
    """
    Read the answer to a status call.

    :param request_id: The request that was asked for.
    :raises UnknownRequestError: LeadSquared does not know the request.
    :raises UnexpectedAnswerError: The answer is about another request, or cannot be understood.
    :raises LeadSquaredError: As the tree of errors has it.
    """
    unknown = f"LeadSquared does not know RequestId {request_id}: lost, long past, or of another account"
    try:
        data = _lower(_success(request, answer))
    except RejectedError:
        # The RequestId is all that such a call holds, so that is what was refused.
        raise UnknownRequestError(unknown) from None
    except NoSuchPathError as error:
        if answer.status_code == 404:
            raise UnknownRequestError(unknown) from None
        raise NoSuchPathError(
            f"{error}; this account's status path may differ, set it in the connection's extra 'paths'"
        ) from None
    if not isinstance(data, dict):
        raise UnexpectedAnswerError(f"{request.label}: the status of {request_id} has an unknown shape")
    echoed = data.get("requestid")
    if echoed is not None and not (isinstance(echoed, str) and echoed.lower() == request_id.lower()):
        raise UnexpectedAnswerError(f"{request.label}: the answer is about another request than {request_id}")
    if data.get("taskstatus") is None:
        raise UnknownRequestError(unknown)
    if first_error("status", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: the status of {request_id} has an unknown shape")
    return _status(request_id, data["taskstatus"])


def read_metrics(request: Request, answer: Answer) -> QueueMetrics:
    """
    Read the answer to a metrics call.

    :raises LeadSquaredError: As the tree of errors has it.
    """
    data = _lower(_success(request, answer))
    if first_error("metrics", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: HTTP {answer.status_code} without queue metrics")
    return QueueMetrics(data["pendingmessages"], data["maxdelayinseconds"], data["processingrateperminute"])


def read_lead_fields(request: Request, answer: Answer) -> tuple[LeadField, ...]:
    """
    Read the account's lead fields.

    :raises LeadSquaredError: As the tree of errors has it.
    """
    data = _success(request, answer)
    if first_error("lead_fields", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: HTTP {answer.status_code} without lead fields")
    return tuple(
        LeadField(
            schema_name=item["SchemaName"],
            display_name=item.get("DisplayName") or item["SchemaName"],
            data_type=item["DataType"],
            render_type=item.get("RenderTypeTextValue") or "",
            is_mandatory=bool(item.get("IsMandatory")),
            max_length=int(item["MaxLength"]) if item.get("MaxLength") else None,
            lock_after_create=item.get("LockAfterCreate") or 0,
            is_identifier=bool(item.get("IsLeadIdentifier")),
            options=tuple(option["Value"] for option in item.get("Options") or ()),
            min_length=_count(item.get("RangeMin")),
        )
        for item in data
    )


def _count(raw: object) -> int | None:
    """Read a number of digits. ``RangeMin`` is one for phones only; for other types it may be anything."""
    text = str(raw)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_COUNT else None


def read_api_host(request: Request, answer: Answer) -> str:
    """
    Read which synchronous host serves the account; the rest of the answer is personal and is dropped.

    :return: A bare host name.
    :raises LeadSquaredError: As the tree of errors has it.
    """
    data = _success(request, answer)
    if isinstance(data, dict) and isinstance(data.get("d"), dict):
        data = data["d"]
    if first_error("user", data) is not None:
        raise UnexpectedAnswerError(f"{request.label}: HTTP {answer.status_code} without the account's hosts")
    host: str = data["LSQCommonServiceURLs"]["api"]
    return host.split("//")[-1].split("/")[0]


def _success(request: Request, answer: Answer) -> Any:
    """Return the body of an answer that reports no error, or raise what it reports."""
    what = f"{request.label}: HTTP {answer.status_code}"
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        _raise_for_code(request, what, answer, "", readable=False)
    if isinstance(data, dict):
        keys = _lower(data)
        text = _text_in(keys)
        if _is_error(keys):
            _raise_reported(request, what, answer, _kind_in(keys), text)
        if answer.status_code != 200:
            _raise_for_code(request, what, answer, text)
    elif answer.status_code != 200:
        _raise_for_code(request, what, answer, "")
    return data


def _raise_reported(request: Request, what: str, answer: Answer, kind: str | None, text: str) -> NoReturn:
    """Raise what LeadSquared's own error body reports, whatever the HTTP code."""
    code = answer.status_code
    reason = mask_text(text, values_of(request.body))
    # A lead's own words are masked by now: none can be taken for LeadSquared's.
    if code == 429 or _RATE_LIMIT.search(reason) or _RATE_LIMIT.search(kind or ""):
        _raise_rate_limit(what, text)
    if code == 401 or (code == 403 and kind is None) or _AUTHENTICATION.search(kind or ""):
        _raise_authentication(request, what, text)
    if kind is None and code >= 500:
        raise ServerError(what)
    if kind is not None and not kind.startswith("MX") and code not in (400, 404, 413):
        raise ServerError(f"{what}, {kind}")
    label = f"{kind}: " if kind else ""
    raise RejectedError(f"{what}, {label}{reason}", kind, reason)


def _raise_for_code(request: Request, what: str, answer: Answer, text: str, *, readable: bool = True) -> NoReturn:
    """Raise what the HTTP code says, where the body is not LeadSquared's own."""
    code = answer.status_code
    if not readable:
        what = f"{what}, {len(answer.body)} bytes of {answer.content_type or 'unnamed content'} that are no JSON"
    if code == 429 or (_RATE_LIMIT.search(text) and code != 200):
        _raise_rate_limit(what, text)
    if code == 404 or (code == 403 and text == "Missing Authentication Token"):
        raise NoSuchPathError(f"{what}: the host has no such path; check the connection's hosts")
    if code == 401:
        _raise_authentication(request, what, text or answer.body[:_LONGEST_PROSE].decode(errors="replace"))
    if code == 403:
        raise AuthenticationError(
            f"{what}: refused at the gateway; check extra 'async_api_key' (x-api-key) first, then the two keys"
        )
    if code in (400, 413):
        reason = "the body is too large" if code == 413 else "the body was not understood"
        raise RejectedError(f"{what}: {reason}", None, reason)
    if code >= 500:
        raise ServerError(what)
    if 300 <= code < 400:
        raise UnexpectedAnswerError(f"{what}: a redirect, not followed with keys; check the connection's hosts")
    raise UnexpectedAnswerError(f"{what}: no answer of LeadSquared's; check the connection's hosts and any proxy")


def _raise_rate_limit(what: str, text: str) -> NoReturn:
    window = _WINDOW.search(text)
    raise RateLimitError(f"{what}: call limit exceeded", float(window.group(1)) if window else RATE_WINDOW)


def _raise_authentication(request: Request, what: str, text: str) -> NoReturn:
    named = _LEADSQUARED_HOST.findall(text[:_LONGEST_PROSE].lower())
    right = next((host for host in named if host != urlsplit(request.url).hostname), None)
    if right:
        raise WrongRegionError(f"{what}: the account lives on another host; LeadSquared names {right}", right)
    raise AuthenticationError(
        f"{what}: the keys were refused; check login (access key), password (secret key) and that the user is active"
    )


def _status(request_id: str, task: dict[str, Any]) -> RequestStatus:
    state = RequestState.parse(task.get("status"))
    inner = task.get("message")
    values = values_of(task.get("requestbody"))
    if state is RequestState.SUCCEEDED and isinstance(inner, dict):
        if _is_error(inner):
            return _failure(request_id, RequestState.FAILED, _text_in(inner), values, _kind_in(inner))
        if first_error("capture", inner) is None:
            return RequestStatus(request_id, state, _capture(inner))
    if state is RequestState.SUCCEEDED:
        # The outer yes alone is no yes: the inner answer is the CRM's.
        return RequestStatus(request_id, RequestState.UNKNOWN, reason="says Success, but not what was captured")
    if state in (RequestState.FAILED, RequestState.ERROR):
        return _failure(request_id, state, str(task.get("statusreason") or ""), values, None)
    return RequestStatus(request_id, state)


def _failure(request_id: str, state: RequestState, text: str, values: list[str], kind: str | None) -> RequestStatus:
    found = _APPLICATION_ERROR.search(text) or _EXCEPTION_TYPE.search(text)
    kind = kind or (found.group() if found else None)
    reason = mask_text(text.removeprefix(f"{kind}:").strip() if kind else text.strip(), values)
    return RequestStatus(request_id, state, exception_type=kind, reason=reason)


def _capture(inner: Mapping[str, Any]) -> Capture:
    message = inner["message"]
    return Capture(message["relatedid"], message.get("id") or None, message["iscreated"])


def _is_error(envelope: Mapping[str, Any]) -> bool:
    """Tell whether an envelope with lower-case keys reports an error."""
    status = envelope.get("status")
    return bool(envelope.get("exceptiontype")) or (isinstance(status, str) and status.strip().upper() == "ERROR")


def _kind_in(envelope: Mapping[str, Any]) -> str | None:
    """Return the exception's name, only if it looks like one; None where there is none."""
    kind = envelope.get("exceptiontype")
    if not kind:
        return None
    return kind if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_][\w.]{0,99}", kind) else "(unnamed)"


def _text_in(envelope: Mapping[str, Any]) -> str:
    """Return the error's text; empty where it is none."""
    texts = (envelope.get("exceptionmessage"), envelope.get("message"))
    return next((text for text in texts if isinstance(text, str) and text), "")


def _lower(data: Any, levels: int = _ENVELOPE_LEVELS) -> Any:
    """Lower the names of an envelope's keys, which differ between LeadSquared's pages, and unpack its messages."""
    if not isinstance(data, dict) or not levels:
        return data
    lowered = {str(key).lower(): value for key, value in data.items()}
    if "message" in lowered:
        lowered["message"] = _parsed(lowered["message"])
    return {key: _lower(value, levels - 1) for key, value in lowered.items()}


def _parsed(value: Any) -> Any:
    """Unpack a JSON object inside a string; anything else comes back as it is."""
    if isinstance(value, str):
        try:
            unpacked = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return unpacked if isinstance(unpacked, dict) else value
    return value
