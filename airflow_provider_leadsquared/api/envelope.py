"""
What every response of LeadSquared has in common: from (HTTP code, headers, bytes) to parsed JSON or a typed error.

An error in the body takes precedence over the HTTP code. Names of keys are compared without case. A string may hold
JSON. Texts that LeadSquared wrote are masked before they enter an error.
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
from airflow_provider_leadsquared.api.texts import clean_text

#: A status response, its task, the task's message and that message's own: nothing that is read lies deeper.
_ENVELOPE_LEVELS = 4


def read_json(request: Request, response: Response) -> Any:
    """
    Return the parsed body of a response that reports no error.

    :raises ApiError: What the response reports.
    """
    what = f"{request.label}: HTTP {response.status_code}"
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        _raise_for_code(request, what, response, "", readable=False)
    if isinstance(data, dict):
        keys = lower_keys(data)
        text = error_text_in(keys)
        if is_error(keys):
            _raise_reported(request, what, response, exception_type_in(keys), text)
        if response.status_code != 200:
            _raise_for_code(request, what, response, text)
    elif response.status_code != 200:
        _raise_for_code(request, what, response, "")
    return data


def _raise_reported(request: Request, what: str, response: Response, kind: str | None, text: str) -> NoReturn:
    """Raise what LeadSquared's own error body reports, whatever the HTTP code."""
    code = response.status_code
    reason = mask_text(text, values_of(request.body), request.keys)
    # A lead's own words are masked by now: none can be taken for LeadSquared's.
    if code == 429 or names_rate_limit(reason) or names_rate_limit(kind or ""):
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
    if not readable:
        what = f"{what}, {len(response.body)} bytes of {response.content_type or 'unnamed content'} that are no JSON"
    if code == 429 or (names_rate_limit(text) and code != 200):
        raise rate_limit_error(what, text)
    if code == 404 or (code == 403 and text == "Missing Authentication Token"):
        raise NoSuchPathError(f"{what}: the host has no such path; check the connection's hosts")
    if code == 401:
        raise authentication_error(request, what, text or response.body[:LONGEST_TEXT].decode(errors="replace"))
    if code == 403:
        raise gateway_error(what)
    if code in (400, 413):
        reason = "the body is too large" if code == 413 else "the body was not understood"
        raise RejectedError(f"{what}: {reason}", None, reason)
    if code >= 500:
        raise ServerError(what)
    if 300 <= code < 400:
        raise UnexpectedResponseError(f"{what}: a redirect, not followed with keys; check the connection's hosts")
    raise UnexpectedResponseError(f"{what}: no response of LeadSquared's; check the connection's hosts and any proxy")


def is_error(envelope: Mapping[str, Any]) -> bool:
    """Tell whether an envelope with lower-case keys reports an error."""
    status = envelope.get("status")
    return bool(envelope.get("exceptiontype")) or (isinstance(status, str) and status.strip().upper() == "ERROR")


def exception_type_in(envelope: Mapping[str, Any]) -> str | None:
    """Return the exception's name, only if it looks like one; None where there is none."""
    kind = envelope.get("exceptiontype")
    if not kind:
        return None
    return kind if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_][\w.]{0,99}", kind) else "(unnamed)"


def error_text_in(envelope: Mapping[str, Any]) -> str:
    """Return the error's text; empty where it is none."""
    texts = (envelope.get("exceptionmessage"), envelope.get("message"))
    return next((text for text in texts if isinstance(text, str) and text), "")


def lower_keys(data: Any, levels: int = _ENVELOPE_LEVELS) -> Any:
    """
    Lower the names of an envelope's keys, which differ between LeadSquared's pages, and unpack its messages.

    Texts are cleaned of characters that no ledger can keep.
    """
    if isinstance(data, str):
        return clean_text(data)
    if not isinstance(data, dict) or not levels:
        return data
    lowered = {str(key).lower(): value for key, value in data.items()}
    if "message" in lowered:
        lowered["message"] = _parsed(lowered["message"])
    return {key: lower_keys(value, levels - 1) for key, value in lowered.items()}


def _parsed(value: Any) -> Any:
    """Unpack a JSON object inside a string; anything else comes back as it is."""
    if isinstance(value, str):
        try:
            unpacked = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return unpacked if isinstance(unpacked, dict) else value
    return value
