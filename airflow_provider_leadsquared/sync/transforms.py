"""The built-in transforms of a column mapping, by name: :data:`TRANSFORMS`."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from airflow_provider_leadsquared.api.null_handling import is_null
from airflow_provider_leadsquared.api.values import UnwritableNumberError, plain_number

Transform = Callable[[Any], Any]


class UnfitValueError(ValueError):
    """A value that a built-in transform cannot take. The message holds no value, so it may be shown."""


def _strip(value: Any) -> Any:
    """Cut blanks at both ends of a text."""
    return value.strip() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    """Write a text in small letters."""
    return value.lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    """Write a text in capitals."""
    return value.upper() if isinstance(value, str) else value


def _title(value: Any) -> Any:
    """Begin every word with a capital and write the rest small: ``D'Souza``, but ``Meera's``."""
    return re.sub(r"(?<=\w['’])S\b", "s", value.title()) if isinstance(value, str) else value


def _digits(value: Any) -> str | None:
    """
    Keep the digits of a text, or of a whole number; None where there is none.

    A phone number that a warehouse keeps as a number, 919000000001.0 say, gives the digits of the whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise UnfitValueError(f"takes text or a whole number, not a {type(value).__name__}")
    if not isinstance(value, str):
        value = _number_text(value)
        if not value.lstrip("-").isdigit():
            raise UnfitValueError("takes a whole number")
    if value.isascii():
        return re.sub(r"[^0-9]+", "", value) or None
    return "".join(str(int(sign)) for sign in value if sign.isdecimal()) or None


def _null_if_blank(value: Any) -> Any:
    """Take a text of nothing but blanks for None."""
    return None if isinstance(value, str) and not value.strip() else value


def _text(value: Any) -> str:
    """
    Write any value as text, also what cannot be sent as it is: a time, an interval, an address, bytes in UTF-8.

    Numbers, booleans and moments become the text that would be sent.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise UnfitValueError("takes bytes in UTF-8") from None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, Decimal)):
        return _number_text(value)
    if isinstance(value, dt.datetime):
        return _in_utc(value).isoformat(sep=" ", timespec="seconds")
    return str(value)


def _date(value: Any) -> dt.date | None:
    """
    Take the day of a date, of a moment (in UTC, as moments are sent), or of a text in ISO 8601.

    A blank text is None.
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise UnfitValueError("takes text as YYYY-MM-DD, with a time behind it or without") from None
    if isinstance(value, dt.datetime):
        return _in_utc(value).date()
    if isinstance(value, dt.date):
        return value
    raise UnfitValueError(f"takes a date, a datetime or text as YYYY-MM-DD, not a {type(value).__name__}")


def _json(value: Any) -> str:
    """
    Write a list, an object or any other value as JSON, names in order of the alphabet: equal values have one text.

    A text stays as it is: drivers that do not read JSON columns give their JSON. Nulls of any kind are ``null``.
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(_with_plain_nulls(value), ensure_ascii=False, sort_keys=True, allow_nan=False, default=_text)
    except (TypeError, ValueError, RecursionError):
        raise UnfitValueError(f"cannot write this {type(value).__name__} as JSON") from None


def _with_plain_nulls(value: Any) -> Any:
    """Return lists and objects with None in place of NaN and its like, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _with_plain_nulls(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_plain_nulls(item) for item in value]
    return None if is_null(value) else value


#: The built-in transforms by name. Those for text leave numbers and times as they are.
TRANSFORMS: dict[str, Transform] = {
    "strip": _strip,
    "lower": _lower,
    "upper": _upper,
    "title": _title,
    "digits": _digits,
    "null_if_blank": _null_if_blank,
    "text": _text,
    "date": _date,
    "json": _json,
}


def _number_text(number: float | Decimal) -> str:
    try:
        return plain_number(number)
    except UnwritableNumberError:
        raise UnfitValueError("takes a finite number of a length that can be written") from None


def _in_utc(moment: dt.datetime) -> dt.datetime:
    """Return a moment in UTC without its zone; one without a zone is taken for UTC."""
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        raise UnfitValueError("takes no moment at the ends of the calendar") from None
