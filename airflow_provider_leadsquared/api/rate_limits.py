"""How LeadSquared says that there were too many calls, and how long to wait then."""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_leadsquared.api.errors import RateLimitError
from airflow_provider_leadsquared.api.http_dates import header, parse_http_date, server_time

#: Seconds to wait after a rate limit that names no window; LeadSquared's limits are all "in 5 second(s)".
RATE_WINDOW = 5.0
#: Seconds that a server may ask to wait at the most. Our own figure: after it one call finds out whether to wait on.
LONGEST_HOLD = 60.0

# Whole words only: a field may be called mx_Throttle_Plan.
_WORDS = re.compile(
    r"\b(exceeded the limit|rate ?limit(s|ed|ing)?|throttl(ed|ing)|too many requests|limit exceeded)\b", re.IGNORECASE
)
_NAMES = re.compile(r"rate_?limit|throttl", re.IGNORECASE)
_WINDOW = re.compile(r"\bin (\d{1,300}) second", re.IGNORECASE)
_CALLS_IN_WINDOW = re.compile(r"\bexceeded the limit of \d{1,300} in \d{1,300} second", re.IGNORECASE)
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """
    Return how long a server asks to wait before the next call (the ``Retry-After`` header).

    :param headers: The response's headers.
    :param now: Seconds since the epoch, for a date in a response that has no ``Date`` of its own.
    :return: Seconds from 0 to :data:`LONGEST_HOLD`; None if the header is missing or holds neither seconds nor a date.
    """
    text = header(headers, "Retry-After")
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_HOLD)
    until, sent_at = parse_http_date(text), server_time(headers)
    if until is None:
        return None
    # A server's date counts on the server's own clock, which may differ from ours.
    return min(max(until - (now if sent_at is None else sent_at), 0.0), LONGEST_HOLD)


def names_rate_limit(text: str, exception_type: str | None = None) -> bool:
    """
    Tell whether an error is a rate limit. An HTTP 429 is one whatever its text.

    :param text: The error's text; a lead's own values are masked in it.
    :param exception_type: The error's name. One that names no rate limit is none, unless the text names a number of
        calls and a window: any other text may be about a field or a value.
    """
    if exception_type is None:
        return _WORDS.search(text) is not None
    return _NAMES.search(exception_type) is not None or _CALLS_IN_WINDOW.search(text) is not None


def rate_limit_error(what: str, text: str) -> RateLimitError:
    """
    Return the error of a rate limit.

    :param what: The call and its HTTP code, for the message.
    :param text: LeadSquared's text, which may name the window; at most :data:`LONGEST_HOLD` is taken from it.
    """
    window = _WINDOW.search(text)
    seconds = min(float(window.group(1)), LONGEST_HOLD) if window else RATE_WINDOW
    return RateLimitError(f"{what}: call limit exceeded", seconds)
