"""What may be given as the records of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def check_records(records: Any, name: str) -> None:
    """
    Refuse what is no list of records.

    :param name: What several are called.
    :raises ValueError: It is a text, a single record, or nothing that holds records.
    """
    if isinstance(records, Mapping):
        raise ValueError(f"{name} is a {type(records).__name__}; pass a list of {name}, for one [{{…}}]")
    if isinstance(records, (str, bytes)) or not isinstance(records, Iterable):
        raise ValueError(f"{name} is a {type(records).__name__}; pass a list of {name}")
