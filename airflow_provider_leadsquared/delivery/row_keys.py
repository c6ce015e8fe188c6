"""Row keys: the column by which a row's owner knows it, and the rules that it has to meet."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.null_handling import is_null
from airflow_provider_leadsquared.api.values import UnwritableNumberError, plain_number

#: Columns that say who somebody is. Keys are in logs, XComs and ledgers, so none of these may be one.
_PERSONAL = re.compile(r"e?mail(address)?|((tele|mobile)?phone|mobile)(no|number)?|(first|last|full)?name")
#: Fields that name a person.
_PERSONAL_FIELDS = ("EmailAddress", "Phone", "Mobile", "FirstName", "LastName")

#: A key is in every log line and ledger entry of its row.
_LONGEST_KEY = 250
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")

#: What is wrong with every row whose key is there several times; the number of rows goes before it.
DOUBLED_KEY = "rows have this key, so that nobody can tell which one is right; let each row have its own"


def check_key_column(column: str | None, *, is_hashed: bool = False) -> None:
    """
    Refuse a key column that would carry personal data into logs and XComs.

    :param is_hashed: Only hashes of the keys leave the task, so that any column may be one.
    :raises ValueError: ``column`` names such a column, or is no name.
    """
    if column is not None and not isinstance(column, str):
        raise ValueError(f"row_key is a {type(column).__name__}; pass the name of a column")
    if column is not None and not is_hashed and _PERSONAL.fullmatch(re.sub(r"[^a-z]", "", column.lower())):
        raise ValueError(
            f"row_key={column!r} would show personal data in logs and XComs; name a column with an id of your own, or "
            "set hash_row_keys=True: rows are then named by a hash"
        )


def key_text(value: Any, column: str, *, is_hashed: bool = False) -> str:
    """
    Return the text by which a row's owner knows it.

    A key does not change with the type that a source gives it from one night to the next: 5, 5.0 and Decimal('5.00')
    are all ``5``, and a moment with a zone is written in UTC.

    :param value: The value in the key column.
    :param column: The key column.
    :param is_hashed: Return the SHA-256 of the text in UTF-8, as 64 hexadecimal digits.
    :raises InvalidLeadError: The value is missing, or cannot tell one row from another.
    """
    if isinstance(value, (Mapping, list, tuple, set, bytes, bytearray, memoryview)):
        raise InvalidLeadError(column, "key_type", f"the key is a {type(value).__name__}; name a column with an id")
    text = "" if is_null(value) else _in_one_spelling(value, column)
    if not text.strip():
        raise InvalidLeadError(column, "no_key", "the key column is missing or empty in this row")
    if not text.isprintable():
        position, sign = next((at, sign) for at, sign in enumerate(text, 1) if not sign.isprintable())
        raise InvalidLeadError(
            column,
            "key_type",
            f"the key holds a control character, U+{ord(sign):04X} at position {position}; remove it at the source",
        )
    if is_hashed:
        return hashlib.sha256(text.encode()).hexdigest()
    if len(text) > _LONGEST_KEY:
        raise InvalidLeadError(column, "key_too_long", f"the key has more than {_LONGEST_KEY} characters; name an id")
    return text


def is_email(row_key: str) -> bool:
    """Tell whether a row key looks like an e-mail address, which logs, XComs and ledgers would show."""
    return "@" in row_key and _EMAIL.fullmatch(row_key) is not None


def _in_one_spelling(value: Any, column: str) -> str:
    try:
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            return str(value.astimezone(dt.UTC).replace(tzinfo=None))
        if isinstance(value, (Decimal, Real)) and not isinstance(value, bool):
            return plain_number(value)
    except (UnwritableNumberError, OverflowError):
        raise InvalidLeadError(
            column, "key_type", "the key is a number or moment that cannot be written; name a column with an id"
        ) from None
    return str(value)


def is_sent(column: str, *, is_hashed: bool = False) -> bool:
    """
    Tell whether a key column is sent because it is named as a field of LeadSquared's.

    :param is_hashed: Fields that name a person may be keys then, and are sent too.
    """
    return column.startswith("mx_") or column == "ProspectID" or (is_hashed and column in _PERSONAL_FIELDS)


def split_row_key(record: Any, column: str | None, *, is_hashed: bool = False) -> tuple[str | None, Any]:
    """
    Return the row's key and the record as it is sent.

    :param record: A lead in either form that ``encode_lead`` takes.
    :param column: The column that holds the row key; None if the author named none.
    :param is_hashed: Return the key's hash instead of its text.
    :raises InvalidLeadError: The key is missing or cannot tell one row from another.
    """
    if column is None:
        return None, record
    rest: Any = record
    value = None
    if isinstance(record, Mapping):
        value = record.get(column)
        if not is_sent(column, is_hashed=is_hashed):
            rest = {name: item for name, item in record.items() if name != column}
    elif isinstance(record, Sequence) and all(isinstance(pair, Mapping) for pair in record):
        value = next((pair.get("Value") for pair in record if pair.get("Attribute") == column), None)
        if not is_sent(column, is_hashed=is_hashed):
            rest = [pair for pair in record if pair.get("Attribute") != column]
    return key_text(value, column, is_hashed=is_hashed), rest
