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


class UnwritableNumberError(ValueError):
    """
    A number that cannot be written out.

    :param rule: The rule that it broke, one word.
    :param problem: What is wrong, without any value.
    """

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(problem)
        self.rule = rule


def value_text(attribute: str, value: Any) -> str:
    """
    Write one value as the text that is sent.

    Text stays as it is; numbers as :func:`plain_number` writes them; booleans ``true`` and ``false``; a date, and a
    datetime taken to UTC (one without a zone is taken for UTC), ``YYYY-MM-DD HH:MM:SS``.

    :param attribute: The attribute, for messages.
    :param value: The value; no null and no mapping.
    :raises InvalidLeadError: The value cannot be written.
    """
    if isinstance(value, str):
        return check_text(attribute, value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = _of_python(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return _timestamp(attribute, value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (int, float, Decimal, Real)):
        try:
            return plain_number(value)
        except UnwritableNumberError as error:
            raise InvalidLeadError(attribute, error.rule, str(error)) from None
    raise InvalidLeadError(
        attribute, "value_type", f"cannot send a {type(value).__name__}; send text, a number, a date or a boolean"
    )


def plain_number(number: Decimal | Real | float) -> str:
    """
    Write a number in the one spelling that depends neither on its type nor on its scale.

    Digits, with a decimal point only before digits that count: ``9000000001.0`` is ``9000000001``,
    ``Decimal('1.500')`` and ``1.5`` are both ``1.5``, and ``-0.0`` is ``0``.

    :raises UnwritableNumberError: It is NaN or infinite, or has more than 4,300 digits.
    """
    try:
        if isinstance(number, (int, Integral)):
            return str(int(number))
        exact = number if isinstance(number, Decimal) else Decimal(repr(float(number)))
    except (OverflowError, ValueError):  # Python refuses to write out integers of more than 4,300 digits
        raise _too_long() from None
    if not exact.is_finite():
        raise UnwritableNumberError("not_finite", "is NaN or infinite; send None where there is no value")
    if abs(exact.adjusted()) > LONGEST_NUMBER:  # its exponent would be written out in zeros
        raise _too_long()
    text = format(exact, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _too_long() -> UnwritableNumberError:
    return UnwritableNumberError("too_large", "the number is too long to be written out")


def check_text(attribute: str, text: str) -> str:
    """
    Return the text if it can be sent.

    :raises InvalidLeadError: It holds half of a surrogate pair, which UTF-8 cannot write, or NUL.
    """
    if "\0" in text:
        raise InvalidLeadError(attribute, "text", "holds the character NUL, which no field keeps; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidLeadError(
            attribute, "text", "holds half of a surrogate pair, which is no text; read the source with its encoding"
        ) from None
    return text


def _of_python(value: Any) -> Any:
    """Return a scalar of numpy as a value of Python's own."""
    if value.dtype.kind == "f":
        return Decimal(str(value))  # a float32 of 0.1 would become 0.10000000149011612
    # A datetime64 becomes a datetime only in microseconds or coarser.
    return (value.astype("datetime64[us]") if value.dtype.kind == "M" else value).item()


def _timestamp(attribute: str, value: dt.date) -> str:
    try:
        if not isinstance(value, dt.datetime):
            return f"{value.isoformat()} 00:00:00"
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError):
        raise InvalidLeadError(
            attribute, "value_type", "is no moment that can be written; send None where there is no value"
        ) from None
