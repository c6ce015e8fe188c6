"""
What every response of LeadSquared has in common: from (HTTP code, headers, bytes) to parsed JSON or a typed error.

An error in the body takes precedence over the HTTP code, if the body is LeadSquared's: other servers on the way send
pages and JSON of their own. Names of keys are compared without case. A string may hold JSON, encoded more than once.
Texts that LeadSquared wrote are cleaned and masked before they enter an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from airflow_provider_leadsquared.api.authentication import (
    LONGEST_TEXT,
    authentication_error,
    gateway_error,
    names_refused_keys,
)
from airflow_provider_leadsquared.api.errors import (
    NoSuchPathError,
    RejectedError,
    ServerError,
    UnexpectedResponseError,
)
from airflow_provider_leadsquared.api.leads import values_of
from airflow_provider_leadsquared.api.masking import mask_text
from airflow_provider_leadsquared.api.rate_limits import names_rate_limit, rate_limit_error
from airflow_provider_leadsquared.api.requests import Request, Response

_NOT_LEADSQUARED = ": no response of LeadSquared's; check the connection's hosts and any proxy"
#: A status response, its task, the task's message and that message's own: nothing that is read lies deeper.
_ENVELOPE_LEVELS = 4
#: How often a JSON object may be encoded as text inside its place.
_ENCODINGS = 3
#: Keys whose object may come as JSON text.
_MAY_BE_TEXT = ("message", "taskstatus")
_decode = json.JSONDecoder().decode
#: Words of an envelope's status that mean an error; the synchronous API says ``Error``.
_ERROR_WORDS = ("ERROR", "FAILURE", "FAILED")


def read_json(request: Request, response: Response) -> Any:
    """
    Return the parsed body of a response that reports no error.

    :raises ApiError: What the response reports.
    """
    return _read(request, response)[0]


def read_envelope(request: Request, response: Response) -> Any:
    """
    Return the parsed body of a response that reports no error, with the names of its keys lowered.

    :return: What :func:`lower_keys` makes of an object; anything else as it is.
    :raises ApiError: What the response reports.
    """
    return _read(request, response)[1]


def _read(request: Request, response: Response) -> tuple[Any, Any]:
    """Return the parsed body, and the same with lowered keys."""
    is_success = 200 <= response.status_code < 300
    try:
        data = unpacked(_parsed(response.body))
    except (ValueError, RecursionError):
        _raise_for_code(request, _what(request, response), response, "", readable=False)
    keys = lower_keys(data)
    reports_error = isinstance(data, dict) and is_error(keys)
    if reports_error and _is_leadsquareds(data, keys):
        _raise_reported(request, _what(request, response), response, exception_type_in(keys), error_text_in(keys))
    if reports_error or not is_success:
        _raise_for_code(request, _what(request, response), response, error_text_in(keys))
    return data, keys


def _what(request: Request, response: Response) -> str:
    return f"{request.label}: HTTP {response.status_code}"


def _parsed(body: bytes) -> Any:
    if body.startswith(b'{"'):  # nearly all; there is no encoding to be found out
        return _decode(body.decode("utf-8", "surrogatepass"))
    return json.loads(body)


def _is_leadsquareds(data: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    """Tell LeadSquared's error body from that of a server on the way, which may say ``{"status": "error"}`` too."""
    return "Status" in data or "ExceptionType" in data or (exception_type_in(keys) or "").startswith("MX")


def _raise_reported(request: Request, what: str, response: Response, kind: str | None, text: str) -> NoReturn:
    """Raise what LeadSquared's own error body reports, whatever the HTTP code."""
    code = response.status_code
    reason = mask_text(text, values_of(request.body), request.keys)
    # A lead's own words are masked by now: none can be taken for LeadSquared's.
    if code == 429 or names_rate_limit(reason, kind):
        raise rate_limit_error(what, text)
    if code == 401 or (code == 403 and kind is None) or names_refused_keys(kind or ""):
        raise authentication_error(request, what, text)
    if kind is None and code >= 500:
        raise ServerError(what)
    if kind is not None and not kind.startswith("MX") and code not in (400, 404, 413):
        raise ServerError(f"{what}, {kind}")
    label = f"{kind}: " if kind else ""
    raise RejectedError(f"{what}, {label}{reason}", kind, reason)


def _raise_for_code(request: Request, what: str, response: Response, text: str, *, readable: bool = True) -> NoReturn:
    """Raise what the HTTP code says, where the body is not LeadSquared's own."""
    code = response.status_code
    if not readable and response.is_html and 400 <= code < 500 and code != 429:
        # Nobody knows whether LeadSquared got the call before the page was sent in place of its response.
        raise UnexpectedResponseError(f"{what}, a page of {len(response.body)} bytes{_NOT_LEADSQUARED}")
    if code == 413:
        what = f"{what}, the body is too large for a server on the way"
    if not readable:
        what = f"{what}, {len(response.body)} bytes of {response.content_type or 'unnamed content'} that are no JSON"
    if code == 429 or (names_rate_limit(text) and code >= 400):
        raise rate_limit_error(what, text)
    if code == 404 or (code == 403 and text == "Missing Authentication Token"):
        raise NoSuchPathError(f"{what}: the host has no such path; check the connection's hosts")
    if code == 401:
        raise authentication_error(request, what, text or response.body[:LONGEST_TEXT].decode(errors="replace"))
    if code == 403:
        raise gateway_error(what)
    if code >= 500:
        raise ServerError(what)
    if 300 <= code < 400:
        raise UnexpectedResponseError(f"{what}: a redirect, not followed with keys; check the connection's hosts")
    raise UnexpectedResponseError(f"{what}{_NOT_LEADSQUARED}")


def is_error(envelope: Mapping[str, Any]) -> bool:
    """Tell whether an envelope with lower-case keys reports an error."""
    status = envelope.get("status")
    return bool(envelope.get("exceptiontype")) or (isinstance(status, str) and status.strip().upper() in _ERROR_WORDS)


def exception_type_in(envelope: Mapping[str, Any]) -> str | None:
    """Return the exception's name, only if it has the form of one; None where there is none."""
    kind = envelope.get("exceptiontype")
    if not kind:
        return None
    return kind if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_][\w.]{0,99}", kind) else "(unnamed)"


def error_text_in(envelope: Any, levels: int = _ENVELOPE_LEVELS) -> str:
    """Return the error's text, also from the message inside a message; empty where there is none."""
    if not isinstance(envelope, Mapping) or not levels:
        return ""
    for name in ("exceptionmessage", "message"):
        value = envelope.get(name)
        text = value.strip() if isinstance(value, str) else error_text_in(value, levels - 1)
        if text:
            return text
    return ""


def lower_keys(data: Any, levels: int = _ENVELOPE_LEVELS) -> Any:
    """Lower the names of an envelope's keys, which differ between LeadSquared's pages, and unpack what is JSON text."""
    if not isinstance(data, dict) or not levels:
        return data
    lowered = {}
    for key, value in data.items():
        name = str(key).lower()
        inner = unpacked(value) if name in _MAY_BE_TEXT else value
        lowered[name] = lower_keys(inner, levels - 1) if isinstance(inner, dict) else inner
    return lowered


def unpacked(value: Any) -> Any:
    """Return the object or list that a text holds as JSON, encoded up to three times; anything else as it is."""
    inner = value
    for _ in range(_ENCODINGS):
        if not isinstance(inner, str):
            break
        try:
            inner = json.loads(inner.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            return value
    return inner if isinstance(inner, (dict, list)) else value
