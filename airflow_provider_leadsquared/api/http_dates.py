"""Dates in HTTP headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header's value without blanks around it, empty where there is none. Names have no case."""
    value = headers.get(name)
    if value is None:
        value = next((value for key, value in headers.items() if key.lower() == name.lower()), "")
    return value.strip()


@lru_cache(maxsize=16)  # many responses of one second have the same
def parse_http_date(text: str) -> float | None:
    """
    Read a date as HTTP writes it, in any of its three formats.

    :return: Seconds since the epoch, in whole seconds; None if it is no date.
    """
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def server_time(headers: Mapping[str, str]) -> float | None:
    """
    Return the time of the server's clock when it wrote a response (the ``Date`` header).

    :return: Seconds since the epoch, in whole seconds; None if there is no such header or it holds no date.
    """
    return parse_http_date(header(headers, "Date"))
