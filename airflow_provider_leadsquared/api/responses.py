"""
Responses of each call, parsed: a :class:`Response` in, a frozen dataclass or a typed error out.

What all responses have in common is in ``envelope``. The lead that a status response repeats is dropped here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE, AsyncApi
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.envelope import (
    error_text_in,
    exception_type_in,
    is_error,
    lower_keys,
    read_envelope,
    read_json,
    unpacked,
)
from airflow_provider_leadsquared.api.errors import (
    ApiError,
    NoSuchPathError,
    RejectedError,
    UnexpectedResponseError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.api.json_schema import first_error
from airflow_provider_leadsquared.api.leads import values_of
from airflow_provider_leadsquared.api.masking import mask_text
from airflow_provider_leadsquared.api.request_ids import parse_request_id
from airflow_provider_leadsquared.api.requests import Request, Response
from airflow_provider_leadsquared.api.texts import clean_text

#: Characters of an error's text that are read: what is longer is a page or a dump.
LONGEST_TEXT = 4_000
#: Digits of a count that is taken for one.
_LONGEST_COUNT = 9
#: Characters of an account's name that are shown.
_LONGEST_ACCOUNT_NAME = 80

_EXCEPTION_TYPE = re.compile(r"\b[A-Za-z_]\w{0,98}Exception\b")
_APPLICATION_ERROR = re.compile(r"\bMX\w{0,97}Exception\b")


class RequestState(StrEnum):
    """The state of one asynchronous request, in LeadSquared's words."""

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
class Receipt:
    """
    A submission that LeadSquared put into its queue. It has judged nothing yet.

    :param request_id: The RequestId under which to ask for the outcome.
    :param after_doubt: An earlier sending of the same lead got no response, and may have been accepted too.
    :param server_time: When it was accepted on LeadSquared's clock, seconds since the epoch; None if it is not known.
    :param sendings: How often the lead was sent until it was accepted.
    """

    request_id: str
    after_doubt: bool = False
    server_time: float | None = None
    sendings: int = 1


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """
    What LeadSquared says of one request.

    :param request_id: The request.
    :param state: Its state. ``SUCCEEDED`` only if the outer and the inner status both say so.
    :param confirmation: The CRM's own yes, where there is one.
    :param exception_type: LeadSquared's name for what went wrong, None where it named nothing.
    :param reason: LeadSquared's text on what went wrong, masked; empty where there is none.
    :param server_time: The time on LeadSquared's clock, seconds since the epoch; None where it is not known.
    """

    request_id: str
    state: RequestState
    confirmation: Confirmation | None = None
    exception_type: str | None = None
    reason: str = ""
    server_time: float | None = None

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
    :param render_type: How the CRM shows it; differs between a date and a date with a time.
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


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """
    What LeadSquared says of an account.

    :param host: The synchronous host that serves it, bare.
    :param name: The organisation's name; empty where none is given.
    :param code: Its short code; empty where none is given.
    :param server_time: The time on LeadSquared's clock, whole seconds since the epoch; None where it is not known.
    """

    host: str
    name: str = ""
    code: str = ""
    server_time: float | None = None


def read_receipt(request: Request, response: Response) -> Receipt:
    """
    Read the response to a submission.

    :raises ApiError: What the response reports. Without a RequestId nothing counts as accepted.
    """
    data = read_envelope(request, response)
    request_id = parse_request_id(data.get("requestid")) if isinstance(data, dict) else None
    if request_id is None:
        raise UnexpectedResponseError(f"{request.label}: HTTP {response.status_code} without a RequestId")
    return Receipt(request_id, server_time=response.server_time)


def read_capture(request: Request, response: Response) -> Confirmation:
    """
    Read the response to a synchronous capture.

    :raises ApiError: What the response reports.
    """
    data = read_envelope(request, response)
    confirmation = LEAD_CAPTURE.read_confirmation(data) if isinstance(data, dict) else None
    if confirmation is None:
        raise UnexpectedResponseError(f"{request.label}: HTTP {response.status_code} without the captured lead")
    return confirmation


def read_status(request: Request, response: Response, request_id: str, api: AsyncApi) -> RequestStatus:
    """
    Read the response to a status call.

    :param request_id: The request that was asked for.
    :param api: The API that it was submitted to.
    :raises UnknownRequestError: LeadSquared does not know the request, or the call failed in a way that may mean so.
    :raises UnexpectedResponseError: The response is about another request, or is not LeadSquared's.
    :raises ApiError: What the response reports.
    """
    try:
        data = read_envelope(request, response)
    except (RejectedError, NoSuchPathError, UnexpectedResponseError) as error:
        raise _status_error(response, request_id, error) from None
    if not isinstance(data, dict):
        raise UnexpectedResponseError(f"{request.label}: the status of {request_id} has an unknown shape")
    echoed = data.get("requestid")
    if echoed is not None and (parse_request_id(echoed) or "").lower() != request_id.lower():
        raise UnexpectedResponseError(f"{request.label}: the response is about another request than {request_id}")
    task = data.get("taskstatus")
    if task is None:
        raise UnknownRequestError(
            f"LeadSquared does not know RequestId {request_id}: lost, long past, or of another account",
            is_certain=echoed is not None or "taskstatus" in data,
            server_time=response.server_time,
        )
    # The message is JSON inside a string, or an object; of another type it says nothing.
    if not isinstance(task, dict) or not isinstance(task.get("status"), str | None):
        raise UnexpectedResponseError(f"{request.label}: the status of {request_id} has an unknown shape")
    status = _status(request_id, task, api, request.keys)
    return replace(status, server_time=response.server_time)


def _status_error(response: Response, request_id: str, error: ApiError) -> ApiError:
    """Return what the error of a status call means: the RequestId is all that such a call holds."""
    if isinstance(error, RejectedError) or (response.status_code in (400, 404) and response.may_be_leadsquareds):
        return UnknownRequestError(
            f"{error}; LeadSquared may not know RequestId {request_id}, or the status path is another one "
            "(the connection's extra 'paths')",
            # The time of another server is not LeadSquared's.
            server_time=response.server_time if isinstance(error, RejectedError) else None,
        )
    if response.status_code == 404:
        return UnexpectedResponseError(str(error))
    if isinstance(error, NoSuchPathError):
        return NoSuchPathError(
            f"{error}; this account's status path may differ, set it in the connection's extra 'paths'"
        )
    return error


def read_metrics(request: Request, response: Response) -> QueueMetrics:
    """
    Read the response to a metrics call.

    :raises ApiError: What the response reports.
    """
    data = read_envelope(request, response)
    if first_error("metrics", data) is not None:
        raise UnexpectedResponseError(f"{request.label}: HTTP {response.status_code} without queue metrics")
    return QueueMetrics(data["pendingmessages"], data["maxdelayinseconds"], data["processingrateperminute"])


def read_lead_fields(request: Request, response: Response) -> tuple[LeadField, ...]:
    """
    Read the account's lead fields.

    :raises ApiError: What the response reports.
    """
    data = read_json(request, response)
    if first_error("lead_fields", data) is not None:
        raise UnexpectedResponseError(f"{request.label}: HTTP {response.status_code} without lead fields")
    return tuple(
        LeadField(
            schema_name=clean_text(item["SchemaName"]),
            display_name=clean_text(item.get("DisplayName") or item["SchemaName"]),
            data_type=item["DataType"],
            render_type=item.get("RenderTypeTextValue") or "",
            is_mandatory=bool(item.get("IsMandatory")),
            max_length=int(item["MaxLength"]) if item.get("MaxLength") else None,
            lock_after_create=item.get("LockAfterCreate") or 0,
            is_identifier=bool(item.get("IsLeadIdentifier")),
            options=tuple(clean_text(option["Value"]) for option in item.get("Options") or ()),
            min_length=_count(item.get("RangeMin")),
        )
        for item in data
    )


def _count(raw: object) -> int | None:
    """Read a number of digits. ``RangeMin`` is one for phones only; for other types it may be anything."""
    text = str(raw)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_COUNT else None


def read_account_facts(request: Request, response: Response) -> AccountFacts:
    """
    Read who owns the key pair and which host serves the account; what is personal is dropped.

    :raises ApiError: What the response reports.
    """
    data = read_json(request, response)
    if isinstance(data, dict) and isinstance(data.get("d"), dict):
        data = data["d"]
    if first_error("user", data) is not None:
        raise UnexpectedResponseError(f"{request.label}: HTTP {response.status_code} without the account's hosts")
    host: str = data["LSQCommonServiceURLs"]["api"]
    given = (clean_text(str(data.get(key) or "")[:_LONGEST_ACCOUNT_NAME]) for key in ("OrgDisplayName", "OrgShortCode"))
    name, code = (mask_text(text, (), request.keys) for text in given)
    return AccountFacts(host.split("//")[-1].split("/")[0], name, code, response.server_time)


def _status(request_id: str, task: Mapping[str, Any], api: AsyncApi, keys: Sequence[str]) -> RequestStatus:
    state = RequestState.parse(task.get("status"))
    inner = task.get("message")

    def failure(state: RequestState, text: str, kind: str | None) -> RequestStatus:
        values = values_of(unpacked(task.get("requestbody")))
        return _failure(request_id, state, text, values, keys, kind)

    if state is RequestState.SUCCEEDED and isinstance(inner, dict):
        if is_error(inner):
            reason = error_text_in(inner)
            return failure(RequestState.FAILED, reason, exception_type_in(inner))
        confirmation = api.read_confirmation(inner)
        if confirmation is not None:
            return RequestStatus(request_id, state, confirmation)
    if state is RequestState.SUCCEEDED:
        # The outer status alone is no confirmation: only the inner response is the CRM's.
        return RequestStatus(request_id, RequestState.UNKNOWN, reason="says Success, but not what was captured")
    if state in (RequestState.FAILED, RequestState.ERROR):
        kind = exception_type_in(inner) if isinstance(inner, dict) else None
        texts = [_text_in(task.get("statusreason")), _text_in(inner)]
        # The reason's documented place is StatusReason; a message that names an exception says more.
        first, second = reversed(texts) if kind else texts
        return failure(state, first or second, kind)
    return RequestStatus(request_id, state)


def _text_in(given: object) -> str:
    return given.strip() if isinstance(given, str) else error_text_in(lower_keys(given))


def _failure(
    request_id: str, state: RequestState, text: str, values: list[str], keys: Sequence[str], kind: str | None
) -> RequestStatus:
    text = text[:LONGEST_TEXT]
    found = _APPLICATION_ERROR.search(text) or _EXCEPTION_TYPE.search(text)
    kind = kind or (found.group() if found else None)
    reason = mask_text(text.removeprefix(f"{kind}:").strip() if kind else text.strip(), values, keys)
    return RequestStatus(request_id, state, exception_type=kind, reason=reason)
