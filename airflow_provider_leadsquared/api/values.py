"""Values of a lead as the text in which LeadSquared takes them."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError

#: The most digits that a number may have when it is written out; Python's own limit for integers.
LONGEST_NUMBER = 4_300


def value_text(attribute: str, value: Any) -> str:
    """
    Write one value as the text that is sent.

    Text stays as it is; numbers become plain decimals; booleans ``true`` and ``false``; a date, and a datetime taken
    to UTC (one without a zone is taken for UTC), ``YYYY-MM-DD HH:MM:SS``.

    :param attribute: The attribute, for messages.
    :param value: The value; no None and no mapping.
    :raises InvalidLeadError: The value cannot be written.
    """
    if isinstance(value, str):
        return check_encodable(attribute, value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        # A datetime64 becomes a datetime only in microseconds or coarser.
        value = (value.astype("datetime64[us]") if value.dtype.kind == "M" else value).item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return _timestamp(attribute, value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Integral):
        try:
            return str(int(value))
        except ValueError:  # Python refuses to write out integers of more than 4,300 digits
            raise _too_long(attribute) from None
    if isinstance(value, (Decimal, Real)):
        return _decimal(attribute, value)
    raise InvalidLeadError(
        attribute, "value_type", f"cannot send a {type(value).__name__}; send text, a number, a date or a boolean"
    )


def check_encodable(attribute: str, text: str) -> str:
    """
    Return the text if it can be written in UTF-8.

    :raises InvalidLeadError: It holds half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidLeadError(
            attribute, "text", "holds half of a surrogate pair, which is no text; read the source with its encoding"
        ) from None
    return text


def _decimal(attribute: str, number: Decimal | Real) -> str:
    if isinstance(number, Decimal):
        exact = number
    else:
        try:
            exact = Decimal(repr(float(number)))
        except OverflowError:
            raise _too_long(attribute) from None
    if not exact.is_finite():
        raise InvalidLeadError(attribute, "not_finite", "is NaN or infinite; send None where there is no value")
    if abs(exact.adjusted()) > LONGEST_NUMBER:  # its exponent would be written out in zeros
        raise _too_long(attribute)
    return format(exact, "f")


def _too_long(attribute: str) -> InvalidLeadError:
    return InvalidLeadError(attribute, "too_large", "the number is too long to be written out")


def _timestamp(attribute: str, value: dt.date) -> str:
    nothing = InvalidLeadError(
        attribute, "value_type", "is no moment that can be written; send None where there is no value"
    )
    if value != value:  # pandas' NaT, the only date that differs from itself
        raise nothing
    try:
        if not isinstance(value, dt.datetime):
            return f"{value.isoformat()} 00:00:00"
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError):
        raise nothing from None
