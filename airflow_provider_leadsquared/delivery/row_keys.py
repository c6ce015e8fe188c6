"""Row keys: the column by which a row's owner knows it, and the rules that it has to meet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError

#: Columns that say who somebody is. Keys are in logs, XComs and ledgers, so none of these may be one.
_PERSONAL = re.compile(r"e?mail(address)?|((tele|mobile)?phone|mobile)(no|number)?|(first|last|full)?name")

#: A key is in every log line and ledger entry of its row.
_LONGEST_KEY = 250


#: What is wrong with every row whose key is there several times; the number of rows goes before it.
DOUBLED_KEY = "rows have this key, so that nobody can tell which one is right; let each row have its own"


def check_key_column(column: str | None) -> None:
    """
    Refuse a key column that would carry personal data into logs and XComs.

    :raises ValueError: ``column`` names such a column.
    """
    if column is not None and _PERSONAL.fullmatch(re.sub(r"[^a-z]", "", column.lower())):
        raise ValueError(
            f"row_key={column!r} would show personal data in logs and XComs; name a column with an id of your own, or "
            "leave row_key out: rows are then named by their position"
        )


def key_text(value: Any, column: str) -> str:
    """
    Return the text by which a row's owner knows it.

    :param value: The value in the key column.
    :param column: The key column.
    :raises InvalidLeadError: The value is missing, or cannot tell one row from another.
    """
    if value is None or value != value or str(value).strip() == "":
        raise InvalidLeadError(column, "no_key", "the key column is missing or empty in this row")
    if isinstance(value, (Mapping, list, tuple, set, bytes, bytearray, memoryview)):
        raise InvalidLeadError(column, "key_type", f"the key is a {type(value).__name__}; name a column with an id")
    text = str(value)
    if not text.isprintable():
        raise InvalidLeadError(column, "key_type", "the key holds a control character; remove it at the source")
    if len(text) > _LONGEST_KEY:
        raise InvalidLeadError(column, "key_too_long", f"the key has more than {_LONGEST_KEY} characters; name an id")
    return text


def is_field(column: str) -> bool:
    """Tell whether a column is named as a field of LeadSquared's, and so is sent even if it is the key."""
    return column.startswith("mx_") or column == "ProspectID"


def split_row_key(record: Any, column: str | None) -> tuple[str | None, Any]:
    """
    Return the row's key and the record as it is sent.

    :param record: A lead in either form that ``encode_lead`` takes.
    :param column: The column that holds the row key; None if the author named none.
    :raises InvalidLeadError: The key is missing or cannot tell one row from another.
    """
    if column is None:
        return None, record
    rest: Any = record
    value = None
    if isinstance(record, Mapping):
        value = record.get(column)
        if not is_field(column):
            rest = {name: item for name, item in record.items() if name != column}
    elif isinstance(record, Sequence) and all(isinstance(pair, Mapping) for pair in record):
        value = next((pair.get("Value") for pair in record if pair.get("Attribute") == column), None)
        if not is_field(column):
            rest = [pair for pair in record if pair.get("Attribute") != column]
    return key_text(value, column), rest
