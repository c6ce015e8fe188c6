"""RequestIds: LeadSquared's names for the submissions that it has accepted."""

from __future__ import annotations

_LONGEST = 100


def parse_request_id(value: object) -> str | None:
    """
    Return a RequestId as text.

    LeadSquared's are UUIDs today, but no page promises it, so any text of up to 100 printable characters is one, and a
    whole number.

    :return: None if the value is none of these, or is empty or blank.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    is_one = isinstance(text, str) and text.isprintable() and text.strip() != "" and len(text) <= _LONGEST
    return str(text) if is_one else None
